/* login: one request and its reply, on a connection of its own. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { LARGEST_LOGIN = 1024, LARGEST_REST = 16384, LARGEST_REPLY = 1026 };

/* INTERRUPTED: a signal came, as the run is over. */
enum outcome { OK, NO, CLOSED, OTHER, FAILED, INTERRUPTED, OUTCOMES };

/* What all requests have in common. */
struct plan {
    struct sockaddr_un address;
    char head[LARGEST_LOGIN / 2], tail[LARGEST_LOGIN / 2 - 32]; /* around the number in the login */
    bool has_number;
    unsigned char rest[LARGEST_REST]; /* behind the login: password, service and realm */
    size_t rest_length;
};

static size_t put_field(unsigned char *to, const char *value, size_t length)
{
    to[0] = (unsigned char)(length >> 8);
    to[1] = (unsigned char)length;
    memcpy(to + 2, value, length);
    return length + 2;
}

static size_t put_request(unsigned char *to, const struct plan *plan, unsigned long user)
{
    char login[LARGEST_LOGIN];
    int length = plan->has_number ? snprintf(login, sizeof login, "%s%lu%s", plan->head, user, plan->tail)
                                  : snprintf(login, sizeof login, "%s", plan->head);
    size_t size = put_field(to, login, (size_t)length);
    memcpy(to + size, plan->rest, plan->rest_length);
    return size + plan->rest_length;
}

/* False if something does not fit. "%d" in the login stands for a number. */
static bool make_plan(struct plan *plan, const char *path, const char *login, const char *password,
                      const char *service, const char *realm)
{
    const char *number = strstr(login, "%d");
    size_t head = number == NULL ? strlen(login) : (size_t)(number - login);

    plan->has_number = number != NULL;
    if (strlen(path) >= sizeof plan->address.sun_path || head >= sizeof plan->head
        || (number != NULL && strlen(number + 2) >= sizeof plan->tail)
        || strlen(password) + strlen(service) + strlen(realm) + 6 > sizeof plan->rest)
        return false;
    plan->address.sun_family = AF_UNIX;
    strcpy(plan->address.sun_path, path);
    memcpy(plan->head, login, head);
    if (number != NULL)
        strcpy(plan->tail, number + 2);
    plan->rest_length = put_field(plan->rest, password, strlen(password));
    plan->rest_length += put_field(plan->rest + plan->rest_length, service, strlen(service));
    plan->rest_length += put_field(plan->rest + plan->rest_length, realm, strlen(realm));
    return true;
}

/* What an error of a system call means for the login. */
static enum outcome outcome_of_error(void)
{
    if (errno == EINTR)
        return INTERRUPTED;
    return errno == EPIPE || errno == ECONNRESET ? CLOSED : FAILED;
}

static enum outcome exchange(int socket, const struct sockaddr_un *address, const unsigned char *request, size_t size)
{
    unsigned char reply[LARGEST_REPLY];
    size_t got = 0, wanted = 2;
    ssize_t sent;

    if (connect(socket, (const struct sockaddr *)address, sizeof *address) != 0)
        return outcome_of_error();
    sent = send(socket, request, size, MSG_NOSIGNAL);
    if (sent != (ssize_t)size)
        return sent < 0 ? outcome_of_error() : INTERRUPTED;
    while (got < wanted) {
        ssize_t count = read(socket, reply + got, sizeof reply - got);
        if (count < 0)
            return outcome_of_error();
        if (count == 0)
            return got == 0 ? CLOSED : OTHER;
        got += (size_t)count;
        if (got >= 2)
            wanted = 2 + ((size_t)reply[0] << 8 | reply[1]);
        if (wanted > sizeof reply)
            return OTHER;
    }
    if (got >= 4 && memcmp(reply + 2, "OK", 2) == 0)
        return OK;
    return got >= 4 && memcmp(reply + 2, "NO", 2) == 0 ? NO : OTHER;
}

static enum outcome log_in(const struct plan *plan, unsigned long user)
{
    unsigned char request[2 + LARGEST_LOGIN + LARGEST_REST];
    size_t size = put_request(request, plan, user);
    int one = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    enum outcome outcome;

    if (one < 0)
        return FAILED;
    outcome = exchange(one, &plan->address, request, size);
    close(one);
    return outcome;
}
