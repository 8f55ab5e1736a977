/* hostile.so WHAT FILE

   Does what no module should, as WHAT says. The pids of all processes that it starts, and of its own
   where it stays, are added to FILE, a line for each. Where it returns, it lets the user in. */

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pam.h"

static const char *file_name;

static void note(const char *text)
{
    int file = open(file_name, O_WRONLY | O_APPEND);
    if (file < 0 || write(file, text, strlen(text)) < 0)
        abort();
    close(file);
}

static void note_pid(pid_t pid)
{
    char text[32];
    snprintf(text, sizeof text, "%d\n", pid);
    note(text);
}

static void stay(void)
{
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    for (;;)
        pause();
}

/* A process that stays, and holds all descriptors that this one has. It is noted by its parent: it
   may be ended before it comes to do so. */
static void leave_child(void)
{
    pid_t child = fork();
    if (child == 0)
        stay();
    note_pid(child);
}

/* As daemons do: a session of its own, and a parent that is gone. */
static void leave_daemon(void)
{
    pid_t child = fork();
    if (child == 0) {
        setsid();
        pid_t grandchild = fork();
        if (grandchild == 0) {
            setsid();
            stay();
        }
        note_pid(grandchild);
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

static void leave_zombies(void)
{
    for (int i = 0; i < 3; i++)
        if (fork() == 0)
            _exit(0);
}

/* It runs nothing of this file, which is unloaded after the login: that would be a crash. */
static void leave_thread(void)
{
    pthread_t ignored;
    if (pthread_create(&ignored, NULL, (void *(*)(void *))(void (*)(void))pause, NULL) != 0)
        abort();
}

static void close_all(int from)
{
    for (int i = from; i < 1024; i++)
        close(i);
}

static void print(void)
{
    for (int i = 0; i < 2000; i++) {
        printf("a module prints to its output %d\n", i);
        fprintf(stderr, "a module prints to its error output %d\n", i);
    }
    fflush(stdout);
}

static void wait_for(const char *name)
{
    while (access(name, F_OK) != 0)
        usleep(5000);
}

static void leak(void)
{
    char *memory = malloc(10 << 20);
    if (memory == NULL)
        abort();
    memset(memory, 1, 10 << 20);
}

int pam_sm_authenticate(pam_handle_t *handle, int flags, int argc, const char **argv)
{
    (void)handle;
    (void)flags;
    if (argc != 2)
        return PAM_SERVICE_ERR;
    const char *what = argv[0];
    file_name = argv[1];

#define ON(NAME) else if (strcmp(what, NAME) == 0)
    if (strcmp(what, "crash") == 0)
        *(volatile int *)8 = 1;
    ON("abort") abort();
    ON("exit") exit(0);
    ON("exit-1") _exit(1);
    ON("exit-3") _exit(3);
    ON("hang") { note_pid(getpid()); stay(); }
    ON("stop") { note_pid(getpid()); raise(SIGSTOP); }
    ON("leak") leak();
    ON("wait-for-file") wait_for(file_name);
    ON("close-all") close_all(0);
    ON("close-channel") close_all(3);
    ON("leave-child") leave_child();
    ON("leave-child-and-crash") { leave_child(); leave_daemon(); abort(); }
    ON("leave-child-and-hang") { leave_child(); leave_daemon(); stay(); }
    ON("leave-daemon") leave_daemon();
    ON("leave-zombies") leave_zombies();
    ON("change-user") { if (setgid(65534) != 0 || setuid(65534) != 0) abort(); }
    ON("change-directory") { if (chdir("/proc/self") != 0) abort(); umask(0777); }
    ON("alarm") alarm(1);
    ON("raise-term") { raise(SIGTERM); raise(SIGINT); raise(SIGHUP); }
    ON("raise-user") raise(SIGUSR1);
    ON("block-signals") {
        sigset_t all;
        sigfillset(&all);
        sigprocmask(SIG_BLOCK, &all, NULL);
    }
    ON("print") print();
    ON("thread") leave_thread();
    else return PAM_SERVICE_ERR;
    return PAM_SUCCESS;
}
