/* What the modules use of libpam, declared here so that no development package is needed. */
#ifndef TEST_PAM_H
#define TEST_PAM_H

typedef struct pam_handle pam_handle_t;

struct pam_message {
    int msg_style;
    const char *msg;
};

struct pam_response {
    char *resp;
    int resp_retcode;
};

struct pam_conv {
    int (*conv)(int, const struct pam_message **, struct pam_response **, void *);
    void *appdata_ptr;
};

enum { PAM_SUCCESS = 0, PAM_AUTH_ERR = 7, PAM_SERVICE_ERR = 3 };
enum {
    PAM_SERVICE = 1,
    PAM_USER,
    PAM_TTY,
    PAM_RHOST,
    PAM_CONV,
    PAM_AUTHTOK,
    PAM_OLDAUTHTOK,
    PAM_RUSER,
    PAM_USER_PROMPT
};

int pam_get_item(const pam_handle_t *, int, const void **);
int pam_set_item(pam_handle_t *, int, const void *);

int pam_sm_authenticate(pam_handle_t *, int, int, const char **);

#endif
