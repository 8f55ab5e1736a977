/* far PORT SECONDS: makes a server on this machine a far one. It prints the port where it listens instead.
 *
 * What the server says is passed on SECONDS later, what clients say at once: a round trip takes that much longer,
 * while connecting takes no time. No answer holds up another. As all wait equally long, who comes first is due first,
 * so one queue and one timer do for all connections, and one thread costs little beside what is measured.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_USAGE = 64, EVENTS = 256, LARGEST_READ = 65536, BACKLOG = 4096 };

static const int64_t second = 1000000000; /* in nanoseconds, the unit of all times here */

struct end {
    int socket;
    struct link *link;
};

/* A client's connection and the one to the server behind it. */
struct link {
    struct end client, server;
    size_t waiting; /* answers in the queue */
    bool is_closed;
    struct link *next_closed;
};

/* An answer without bytes is the server's end of file. */
struct answer {
    struct answer *next;
    struct link *link;
    int64_t due;
    size_t length;
    char data[];
};

static struct end listening, timer;
static int events;
static uint16_t server_port;
static int64_t delay;
static struct answer *first, **last = &first;
static struct link *closed;

static void fail(const char *what)
{
    fprintf(stderr, "far: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * second + time.tv_nsec;
}

static struct sockaddr_in loopback(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static void watch(struct end *end)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = end};
    if (epoll_ctl(events, EPOLL_CTL_ADD, end->socket, &event) != 0)
        fail("epoll_ctl");
}

/* Its memory stays until no event and no answer can mention it any more. */
static void close_link(struct link *link)
{
    if (link->is_closed)
        return;
    link->is_closed = true;
    close(link->client.socket);
    close(link->server.socket);
    link->next_closed = closed;
    closed = link;
}

static void free_closed(void)
{
    struct link **at = &closed;

    while (*at != NULL) {
        struct link *link = *at;
        if (link->waiting > 0) {
            at = &link->next_closed;
        } else {
            *at = link->next_closed;
            free(link);
        }
    }
}

/* Never waits: what is on its way here is far less than a socket's buffer holds. */
static void give(struct link *link, struct end *end, const char *data, size_t length)
{
    ssize_t sent = send(end->socket, data, length, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (sent == (ssize_t)length)
        return;
    if (sent >= 0 || errno == EAGAIN)
        fputs("far: a buffer is full, and its connection is closed\n", stderr);
    close_link(link);
}

static void set_timer(int64_t due)
{
    struct itimerspec time = {.it_value = {.tv_sec = due / second, .tv_nsec = due % second}};
    if (timerfd_settime(timer.socket, TFD_TIMER_ABSTIME, &time, NULL) != 0)
        fail("timerfd_settime");
}

static void hold(struct link *link, const char *data, size_t length)
{
    struct answer *answer = malloc(sizeof *answer + length);

    if (answer == NULL)
        fail("malloc");
    *answer = (struct answer){.link = link, .due = now() + delay, .length = length};
    memcpy(answer->data, data, length);
    if (first == NULL)
        set_timer(answer->due);
    *last = answer;
    last = &answer->next;
    link->waiting++;
}

static void pass_on_what_is_due(void)
{
    int64_t time = now();
    uint64_t expirations;

    if (read(timer.socket, &expirations, sizeof expirations) < 0 && errno != EAGAIN)
        fail("timerfd");
    while (first != NULL && first->due <= time) {
        struct answer *answer = first;
        struct link *link = answer->link;

        first = answer->next;
        if (first == NULL)
            last = &first;
        link->waiting--;
        if (!link->is_closed && answer->length > 0)
            give(link, &link->client, answer->data, answer->length);
        else
            close_link(link);
        free(answer);
    }
    if (first != NULL)
        set_timer(first->due);
}

static void read_from(struct end *end)
{
    static char data[LARGEST_READ];
    struct link *link = end->link;
    ssize_t count;

    if (link->is_closed)
        return;
    count = recv(end->socket, data, sizeof data, MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (count > 0 && end == &link->client) {
        give(link, &link->server, data, (size_t)count);
    } else if (end == &link->client) {
        close_link(link);
    } else {
        hold(link, data, count > 0 ? (size_t)count : 0);
        if (count <= 0)
            epoll_ctl(events, EPOLL_CTL_DEL, end->socket, NULL);
    }
}

static void accept_client(void)
{
    struct sockaddr_in address = loopback(server_port);
    int one = 1, client = accept4(listening.socket, NULL, NULL, SOCK_CLOEXEC);
    struct link *link;

    if (client < 0)
        fail("accept");
    link = calloc(1, sizeof *link);
    if (link == NULL)
        fail("calloc");
    link->client = (struct end){client, link};
    link->server = (struct end){socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), link};
    if (link->server.socket < 0)
        fail("socket");
    if (connect(link->server.socket, (struct sockaddr *)&address, sizeof address) != 0) {
        close_link(link);
        return;
    }
    setsockopt(link->client.socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(link->server.socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    watch(&link->client);
    watch(&link->server);
}

static void listen_somewhere(void)
{
    struct sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;

    listening.socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listening.socket < 0 || bind(listening.socket, (struct sockaddr *)&address, sizeof address) != 0
        || listen(listening.socket, BACKLOG) != 0
        || getsockname(listening.socket, (struct sockaddr *)&address, &size) != 0)
        fail("listen");
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
}

static void prepare_process(void)
{
    struct rlimit files;

    prctl(PR_SET_PDEATHSIG, SIGTERM);
    prctl(PR_SET_NAME, "far");
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    events = epoll_create1(EPOLL_CLOEXEC);
    timer.socket = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (events < 0 || timer.socket < 0)
        fail("epoll_create1 and timerfd_create");
}

int main(int argc, char **argv)
{
    struct epoll_event happened[EVENTS];
    int port = argc == 3 ? atoi(argv[1]) : 0;
    double seconds = argc == 3 ? atof(argv[2]) : 0;

    if (port < 1 || port > 65535 || !(seconds > 0 && seconds <= 60)) {
        fputs("usage: far PORT SECONDS\n", stderr);
        return EXIT_USAGE;
    }
    server_port = (uint16_t)port;
    delay = (int64_t)(seconds * (double)second);
    prepare_process();
    listen_somewhere();
    watch(&listening);
    watch(&timer);
    for (;;) {
        int count = epoll_wait(events, happened, EVENTS, -1);
        if (count < 0 && errno != EINTR)
            fail("epoll_wait");
        for (int i = 0; i < count; i++) {
            struct end *end = happened[i].data.ptr;
            if (end == &listening)
                accept_client();
            else if (end == &timer)
                pass_on_what_is_due();
            else
                read_from(end);
        }
        free_closed();
    }
}
