/* floor SOCKET THREADS: a daemon that does nothing but say OK, which no real one can outrun.
 *
 * It accepts, reads once, writes the shortest reply and closes. What it reaches on a machine is the cost of the
 * system calls and of the load generator.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int listening;

static void *serve(void *unused)
{
    static const char reply[4] = {0, 2, 'O', 'K'};
    char request[4096];

    (void)unused;
    for (;;) {
        int client = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
        if (client < 0)
            continue;
        if (read(client, request, sizeof request) > 0)
            (void)send(client, reply, sizeof reply, MSG_NOSIGNAL);
        close(client);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int threads = argc == 3 ? atoi(argv[2]) : 0;
    pthread_t thread;

    if (threads < 1 || strlen(argv[1]) >= sizeof address.sun_path) {
        fputs("usage: floor SOCKET THREADS\n", stderr);
        return 64;
    }
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    prctl(PR_SET_NAME, "floor");
    strcpy(address.sun_path, argv[1]);
    listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listening < 0 || bind(listening, (struct sockaddr *)&address, sizeof address) != 0
        || listen(listening, 4096) != 0) {
        perror(argv[1]);
        return 1;
    }
    for (int i = 1; i < threads; i++)
        if (pthread_create(&thread, NULL, serve, NULL) != 0)
            return 1;
    serve(NULL);
}
