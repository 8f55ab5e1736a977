/* loadgen: clients that log in without pause, and what they heard.
 *
 * Each client is a thread in a closed loop: connect, send one request, read the reply, close. libsasl does it so, with
 * a connection for each login. What is counted is what was answered between the end of the warm-up and the end of the
 * run; a login that has no answer by then is "unfinished". TERM ends the run early, and so does the last client when
 * each has a number of logins to do. With --patient it ends no earlier than a first login is counted, as a machine may
 * stand still for all of a short run. The result is a line of JSON.
 *
 * "%d" in the login is the number of a user, and in the password that of the guess: no two are alike.
 *
 * No wait outlasts the run: at its end each client that still waits, in whatever system call, is interrupted. That
 * costs a login nothing, while a timeout set on each socket would cost one more system call.
 */
#define _GNU_SOURCE
#include <getopt.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>

#include "login.h"

enum { STACK = 128 * 1024, EXIT_USAGE = 64 };

/* From one login of a client to its next, in numbers of users. A prime larger than any number of them, so that each
 * client meets all users alike, and in no order that is any to the daemon. */
enum { STEP = 2147483647 };

/* Guesses that a client may make before it comes to those of the next. */
enum { GUESSES = 1000000000 };

static const char *const names[OUTCOMES] = {"ok", "no", "closed", "other", "errors", "unfinished"};

struct client {
    pthread_t thread;
    unsigned long user, guess;
    unsigned long left; /* logins */
    unsigned long heard[OUTCOMES];
    uint32_t *latencies; /* microseconds */
    size_t count, capacity;
    atomic_bool is_done;
};

static struct plan plan;
static unsigned long users = 1;
static bool is_silent, is_patient;
static double pause_after; /* a login, in seconds */
static double counted_from; /* seconds, on the clock of now() */
static atomic_ulong running;
static atomic_bool has_counted, is_over;

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static struct timespec span(double seconds)
{
    return (struct timespec){.tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
}

static void nap(double seconds)
{
    struct timespec time = span(seconds);
    nanosleep(&time, NULL);
}

static void fail(const char *what)
{
    fprintf(stderr, "loadgen: %s\n", what);
    exit(EXIT_USAGE);
}

static void *need(void *memory)
{
    if (memory == NULL)
        fail("out of memory");
    return memory;
}

static void note_latency(struct client *client, double seconds)
{
    if (client->count == client->capacity) {
        client->capacity = client->capacity == 0 ? 4096 : 2 * client->capacity;
        client->latencies = need(realloc(client->latencies, client->capacity * sizeof *client->latencies));
    }
    client->latencies[client->count++] = (uint32_t)(seconds * 1e6);
}

static void *run_client(void *argument)
{
    struct client *client = argument;

    while (client->left-- > 0 && !atomic_load_explicit(&is_over, memory_order_relaxed)) {
        double begin = now(), end;
        enum outcome outcome = is_silent ? stay_silent(&plan) : log_in(&plan, client->user, client->guess++);

        end = now();
        if (atomic_load_explicit(&is_over, memory_order_relaxed))
            outcome = INTERRUPTED; /* as an answer after the end is none that counts */
        if (outcome == INTERRUPTED || end >= counted_from)
            client->heard[outcome]++;
        if (outcome <= NO && end >= counted_from) {
            note_latency(client, end - begin);
            atomic_store_explicit(&has_counted, true, memory_order_relaxed);
        }
        if (outcome == FAILED)
            nap(0.001); /* nobody listens: trying again at once would take the processor from who is to start */
        if (pause_after > 0)
            nap(pause_after);
        client->user = (client->user + STEP) % users;
    }
    if (atomic_fetch_sub(&running, 1) == 1)
        kill(getpid(), SIGTERM);
    atomic_store(&client->is_done, true);
    return NULL;
}

static void wake_up(int number)
{
    (void)number; /* it is the interrupted system call that counts */
}

/* Interrupted again and again: the first signal may come just before the system call. */
static void end_clients(struct client *clients, unsigned long count)
{
    atomic_store(&is_over, true);
    for (unsigned long i = 0; i < count; i++)
        while (!atomic_load(&clients[i].is_done)) {
            for (unsigned long other = i; other < count; other++)
                if (!atomic_load(&clients[other].is_done))
                    pthread_kill(clients[other].thread, SIGUSR1);
            nap(0.001);
        }
    for (unsigned long i = 0; i < count; i++)
        pthread_join(clients[i].thread, NULL);
}

static void wait_for_end(double until)
{
    sigset_t term;
    double left;

    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    while ((left = until - now()) > 0 || (is_patient && !atomic_load(&has_counted))) {
        struct timespec time = span(left > 0 ? left : 0.001);
        if (sigtimedwait(&term, NULL, &time) == SIGTERM)
            return;
    }
}

static int compare(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

static void print_result(const struct client *clients, unsigned long count, double seconds)
{
    static const struct { const char *name; double share; } parts[] = {
        {"p50", 0.5}, {"p99", 0.99}, {"p999", 0.999}, {"max", 1}};
    unsigned long heard[OUTCOMES] = {0};
    size_t total = 0, at = 0;
    uint32_t *latencies;

    for (unsigned long i = 0; i < count; i++) {
        total += clients[i].count;
        for (int outcome = 0; outcome < OUTCOMES; outcome++)
            heard[outcome] += clients[i].heard[outcome];
    }
    latencies = need(malloc((total + 1) * sizeof *latencies));
    for (unsigned long i = 0; i < count; i++) {
        if (clients[i].count > 0)
            memcpy(latencies + at, clients[i].latencies, clients[i].count * sizeof *latencies);
        at += clients[i].count;
    }
    qsort(latencies, total, sizeof *latencies, compare);
    printf("{\"seconds\": %.6f", seconds);
    for (int outcome = 0; outcome < OUTCOMES; outcome++)
        printf(", \"%s\": %lu", names[outcome], heard[outcome]);
    for (size_t i = 0; total > 0 && i < sizeof parts / sizeof *parts; i++)
        printf(", \"%s\": %u", parts[i].name, latencies[(size_t)((double)(total - 1) * parts[i].share)]);
    puts("}");
}

static unsigned long read_count(const char *text, unsigned long most)
{
    char *end;
    unsigned long number = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || number == 0 || number > most)
        fail("a count is not a whole number, or not within its limits");
    return number;
}

static double read_seconds(const char *text)
{
    char *end;
    double number = strtod(text, &end);
    if (end == text || *end != '\0' || !(number >= 0 && number <= 86400))
        fail("a time is not a number of seconds up to 86400");
    return number;
}

static void prepare_process(void)
{
    struct sigaction action = {.sa_handler = wake_up}; /* and no SA_RESTART */
    struct rlimit files;
    sigset_t term;

    prctl(PR_SET_PDEATHSIG, SIGTERM);
    sigaction(SIGUSR1, &action, NULL);
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &term, NULL);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"socket", required_argument, NULL, 'f'},   {"clients", required_argument, NULL, 'c'},
        {"seconds", required_argument, NULL, 't'},  {"warmup", required_argument, NULL, 'w'},
        {"login", required_argument, NULL, 'u'},    {"users", required_argument, NULL, 'k'},
        {"password", required_argument, NULL, 'p'}, {"service", required_argument, NULL, 's'},
        {"realm", required_argument, NULL, 'r'},    {"logins", required_argument, NULL, 'n'},
        {"pause", required_argument, NULL, 'z'},    {"silent", no_argument, NULL, 'q'},
        {"patient", no_argument, NULL, 'l'},        {NULL, 0, NULL, 0}};
    const char *login = "", *password = "", *service = "", *realm = "", *path = "";
    unsigned long count = 1, logins = ULONG_MAX;
    double seconds = 1, warmup = 0, end;
    struct client *clients;
    pthread_attr_t attributes;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'f': path = optarg; break;
        case 'c': count = read_count(optarg, 20000); break;
        case 't': seconds = read_seconds(optarg); break;
        case 'w': warmup = read_seconds(optarg); break;
        case 'u': login = optarg; break;
        case 'k': users = read_count(optarg, 1000000000); break;
        case 'p': password = optarg; break;
        case 's': service = optarg; break;
        case 'r': realm = optarg; break;
        case 'n': logins = read_count(optarg, 1000000000); break;
        case 'z': pause_after = read_seconds(optarg); break;
        case 'q': is_silent = true; break;
        case 'l': is_patient = true; break;
        default: return EXIT_USAGE;
        }
    }
    if (optind != argc || (*login == '\0' && !is_silent) || *path == '\0')
        fail("give --socket PATH and --login NAME, and no other arguments");
    if (!make_plan(&plan, path, login, password, service, realm))
        fail("the path or a field is too long");

    prepare_process();
    clients = need(calloc(count, sizeof *clients));
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK);
    counted_from = now() + warmup;
    atomic_store(&running, count);
    for (unsigned long i = 0; i < count; i++) {
        clients[i].user = i * users / count; /* apart, so that few ask for the same one at a time */
        clients[i].guess = i * GUESSES;
        clients[i].left = logins;
        if (pthread_create(&clients[i].thread, &attributes, run_client, &clients[i]) != 0)
            fail("cannot start a thread for each client");
    }
    wait_for_end(counted_from + seconds);
    end = now();
    end_clients(clients, count);
    print_result(clients, count, end - counted_from);
    return 0;
}
