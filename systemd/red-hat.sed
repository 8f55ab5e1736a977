# What is Debian's in these files, as Red Hat has it: sed -f red-hat.sed
s,/etc/default/,/etc/sysconfig/,g
s,\([ /]\)sasl\( \),\1saslauth\2,g
