/* conversation.so FILE [user_prompt=TEXT] STYLE:TEXT...

   Holds one conversation of all the messages and writes what came back to FILE, a line for each:
   the answer in hexadecimal digits, or "none". The result is that of the conversation. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pam.h"

#define MOST 64

int pam_sm_authenticate(pam_handle_t *handle, int flags, int argc, const char **argv)
{
    const struct pam_conv *conversation = NULL;
    struct pam_message messages[MOST];
    const struct pam_message *pointers[MOST];
    struct pam_response *answers = NULL;
    static const char prefix[] = "user_prompt=";
    int count = 0;

    (void)flags;
    if (argc < 1 || argc > MOST)
        return PAM_SERVICE_ERR;
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], prefix, sizeof prefix - 1) == 0) {
            pam_set_item(handle, PAM_USER_PROMPT, argv[i] + sizeof prefix - 1);
            continue;
        }
        char *text;
        messages[count].msg_style = (int)strtol(argv[i], &text, 10);
        messages[count].msg = text + 1;
        pointers[count] = &messages[count];
        count++;
    }
    if (pam_get_item(handle, PAM_CONV, (const void **)&conversation) != PAM_SUCCESS)
        return PAM_SERVICE_ERR;
    int code = conversation->conv(count, pointers, &answers, conversation->appdata_ptr);
    if (code != PAM_SUCCESS)
        return code;
    FILE *file = fopen(argv[0], "w");
    if (file == NULL)
        return PAM_SERVICE_ERR;
    for (int i = 0; i < count; i++) {
        const char *answer = answers[i].resp;
        if (answer == NULL)
            fputs("none", file);
        for (const char *p = answer; p != NULL && *p; p++)
            fprintf(file, "%02x", (unsigned char)*p);
        fputc('\n', file);
        free(answers[i].resp);
    }
    free(answers);
    return fclose(file) == 0 ? PAM_SUCCESS : PAM_SERVICE_ERR;
}
