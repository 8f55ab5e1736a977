/* login: one request and its reply, on a connection of its own. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { LARGEST_TEXT = 2048, LARGEST_REST = 4096, LARGEST_REPLY = 1026 };

/* INTERRUPTED: a signal came, as the run is over. */
enum outcome { OK, NO, CLOSED, OTHER, FAILED, INTERRUPTED, OUTCOMES };

/* A text in which "%d" stands for a number. */
struct pattern {
    char head[LARGEST_TEXT / 2], tail[LARGEST_TEXT / 2 - 32]; /* around the number */
    bool has_number;
};

/* What all requests have in common. */
struct plan {
    struct sockaddr_un address;
    struct pattern login, password;
    unsigned char rest[LARGEST_REST]; /* behind the password: service and realm */
    size_t rest_length;
};

static size_t put_field(unsigned char *to, const char *value, size_t length)
{
    to[0] = (unsigned char)(length >> 8);
    to[1] = (unsigned char)length;
    memcpy(to + 2, value, length);
    return length + 2;
}

static size_t put_pattern(unsigned char *to, const struct pattern *pattern, unsigned long number)
{
    char text[LARGEST_TEXT];
    int length = pattern->has_number ? snprintf(text, sizeof text, "%s%lu%s", pattern->head, number, pattern->tail)
                                     : snprintf(text, sizeof text, "%s", pattern->head);
    return put_field(to, text, (size_t)length);
}

static size_t put_request(unsigned char *to, const struct plan *plan, unsigned long user, unsigned long guess)
{
    size_t size = put_pattern(to, &plan->login, user);
    size += put_pattern(to + size, &plan->password, guess);
    memcpy(to + size, plan->rest, plan->rest_length);
    return size + plan->rest_length;
}

/* False if it does not fit. */
static bool make_pattern(struct pattern *pattern, const char *text)
{
    const char *number = strstr(text, "%d");
    size_t head = number == NULL ? strlen(text) : (size_t)(number - text);

    pattern->has_number = number != NULL;
    if (head >= sizeof pattern->head || (number != NULL && strlen(number + 2) >= sizeof pattern->tail))
        return false;
    memcpy(pattern->head, text, head);
    if (number != NULL)
        strcpy(pattern->tail, number + 2);
    return true;
}

/* False if something does not fit. */
static bool make_plan(struct plan *plan, const char *path, const char *login, const char *password,
                      const char *service, const char *realm)
{
    if (strlen(path) >= sizeof plan->address.sun_path || !make_pattern(&plan->login, login)
        || !make_pattern(&plan->password, password) || strlen(service) + strlen(realm) + 4 > sizeof plan->rest)
        return false;
    plan->address.sun_family = AF_UNIX;
    strcpy(plan->address.sun_path, path);
    plan->rest_length = put_field(plan->rest, service, strlen(service));
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

/* A request of no bytes is none: nothing is sent, and the end of the connection is waited for. */
static enum outcome exchange(int socket, const struct sockaddr_un *address, const unsigned char *request, size_t size)
{
    unsigned char reply[LARGEST_REPLY];
    size_t got = 0, wanted = 2;
    ssize_t sent;

    if (connect(socket, (const struct sockaddr *)address, sizeof *address) != 0)
        return outcome_of_error();
    sent = size == 0 ? 0 : send(socket, request, size, MSG_NOSIGNAL);
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

static enum outcome on_a_connection(const struct plan *plan, const unsigned char *request, size_t size)
{
    int one = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    enum outcome outcome;

    if (one < 0)
        return FAILED;
    outcome = exchange(one, &plan->address, request, size);
    close(one);
    return outcome;
}

static enum outcome log_in(const struct plan *plan, unsigned long user, unsigned long guess)
{
    unsigned char request[2 * (2 + LARGEST_TEXT) + LARGEST_REST];

    return on_a_connection(plan, request, put_request(request, plan, user, guess));
}

/* Until the daemon closes. */
static enum outcome stay_silent(const struct plan *plan)
{
    return on_a_connection(plan, NULL, 0);
}
