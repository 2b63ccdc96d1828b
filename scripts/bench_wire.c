/* Both ends of the wire for scripts/bench: an upstream server that costs next to nothing, and a client of many streams.
 *
 *   bench_wire serve                 listens on a free loopback port, which it prints
 *   bench_wire streams PORT COUNT HEADER MODEL
 *                                    COUNT requests at once, each on a connection of its own; prints one line of JSON
 *
 * The server answers GET with a fixed list of models, and POST by the model in the body: `bulk-N` is N chunks as fast as
 * they are taken, `paced-N` is N chunks, one every 20 ms, `die-N` ends the connection after N chunks of an endless
 * answer, and `events-N` is N events of /v1/chat/completions and what they took if the body asks for it. The body has to
 * end in `"end":1}`, or to ask. Each chunk holds when it was sent, in ns of CLOCK_MONOTONIC (bulk: 0). */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define MOST 16384
#define PERIOD 20000000LL
#define LINE "{\"model\":\"tiny\",\"created_at\":\"%020lld\",\"response\":\" a word\",\"done\":false}\n"
#define EVENT_BEGIN "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1795211572,\"model\":\"tiny\",\"system_fingerprint\":\"fp_ollama\",\"choices\":["
#define EVENT EVENT_BEGIN "{\"index\":0,\"delta\":{\"content\":\" a word\"},\"finish_reason\":null}]}\n\n"
#define LAST_EVENT EVENT_BEGIN "{\"index\":0,\"delta\":{\"content\":\"\"},\"finish_reason\":\"stop\"}]}\n\n"
#define USAGE EVENT_BEGIN "],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":%d,\"total_tokens\":%d}}\n\n"
#define DONE "data: [DONE]\n\n"
#define EVENTS_HEAD "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
#define HEAD "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
#define LAST "0\r\n\r\n"
#define MARK "\"created_at\":\""
#define EVENT_MARK "\"created\":"
#define ASKED "\"include_usage\":true"

static const char TAGS[] = "{\"models\":[{\"name\":\"tiny:latest\",\"model\":\"tiny:latest\",\"size\":1234567,"
                           "\"digest\":\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"}]}";

struct conn {
    char in[8192];
    size_t have;
    const char *out; /* what is still to be written */
    size_t left;
    long long due; /* of the next paced chunk; 0: none */
    int chunks, dies;
    size_t body;
    long long first;
    int done;
};

static struct conn *conns[MOST];
static int epoll;

static long long now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void watch(int fd, int how, unsigned events) {
    struct epoll_event event = {.events = events, .data.fd = fd};
    if (epoll_ctl(epoll, how, fd, &event) < 0) fail("epoll_ctl");
}

static void add(int fd, unsigned events) {
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (fd >= MOST || !(conns[fd] = calloc(1, sizeof(struct conn)))) fail("too many connections");
    watch(fd, EPOLL_CTL_ADD, events);
}

static void drop(int fd) {
    free(conns[fd]);
    conns[fd] = NULL;
    close(fd);
}

static int chunk(char *to, long long when) {
    char line[256];
    int length = snprintf(line, sizeof line, LINE, when);
    return sprintf(to, "%x\r\n%s\r\n", length, line);
}

static int whole(char *to, const char *text) { return sprintf(to, "%zx\r\n%s\r\n", strlen(text), text); }

/* Events of /v1/chat/completions, and what they took if that was asked. */
static char *events(char *at, int chunks, int asked) {
    char usage[512];
    at += sprintf(at, "%s", EVENTS_HEAD);
    for (int n = 0; n < chunks; n++) at += whole(at, EVENT);
    at += whole(at, LAST_EVENT);
    snprintf(usage, sizeof usage, USAGE, chunks, chunks + 1);
    if (asked) at += whole(at, usage);
    return at + whole(at, DONE);
}

enum form { LINES, EVENTS, EVENTS_AND_USAGE };

/* A whole answer of so many chunks. Made once for each number, and kept. */
static const char *bulk(enum form form, int chunks, size_t *length) {
    static struct { int chunks; enum form form; char *bytes; size_t length; } made[8];
    size_t i = 0;
    while (i < 7 && made[i].chunks && (made[i].chunks != chunks || made[i].form != form)) i++;
    if (made[i].chunks != chunks || made[i].form != form) {
        char *at = made[i].bytes = realloc(made[i].bytes, 2048 + (size_t)chunks * (form == LINES ? 160 : 256));
        if (!at) fail("realloc");
        if (form == LINES) {
            at += sprintf(at, "%s", HEAD);
            for (int n = 0; n < chunks; n++) at += chunk(at, 0);
        } else {
            at = events(at, chunks, form == EVENTS_AND_USAGE);
        }
        at += sprintf(at, "%s", LAST);
        made[i].chunks = chunks;
        made[i].form = form;
        made[i].length = (size_t)(at - made[i].bytes);
    }
    *length = made[i].length;
    return made[i].bytes;
}

/* Writes what is left; waits for room if there is none. */
static int flush(int fd) {
    struct conn *c = conns[fd];
    while (c->left) {
        ssize_t wrote = send(fd, c->out, c->left, MSG_NOSIGNAL);
        if (wrote < 0 && errno == EAGAIN) {
            watch(fd, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
            return 0;
        }
        if (wrote < 0) return -1;
        c->out += wrote;
        c->left -= (size_t)wrote;
    }
    return 0;
}

static int answer(int fd) {
    static char tags[1024];
    struct conn *c = conns[fd];
    c->in[c->have] = 0;
    char *end = strstr(c->in, "\r\n\r\n"), *model;
    if (!end) return 0;
    if (!strncmp(c->in, "GET", 3)) {
        if (!*tags)
            sprintf(tags, "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: %zu\r\n\r\n%s",
                    sizeof TAGS - 1, TAGS);
        c->out = tags;
        c->left = strlen(tags);
    } else {
        if (!strstr(end, "\"end\":1}") && !strstr(end, ASKED)) return 0;
        if ((model = strstr(end, "bulk-"))) {
            c->out = bulk(LINES, atoi(model + 5), &c->left);
        } else if ((model = strstr(end, "events-"))) {
            c->out = bulk(strstr(end, ASKED) ? EVENTS_AND_USAGE : EVENTS, atoi(model + 7), &c->left);
        } else if ((model = strstr(end, "paced-")) || (model = strstr(end, "die-"))) {
            c->dies = *model == 'd';
            c->chunks = atoi(strchr(model, '-') + 1);
            c->due = now();
            c->out = HEAD;
            c->left = strlen(HEAD);
        } else {
            return -1;
        }
    }
    c->have = 0;
    return flush(fd);
}

static int pace(int fd, long long at) {
    static char buffer[512];
    struct conn *c = conns[fd];
    int length = 0;
    if (c->left) return 0;
    if (c->chunks) {
        c->chunks--;
        c->due += PERIOD;
        length = chunk(buffer, at);
    }
    if (!c->chunks && c->dies) {
        send(fd, buffer, (size_t)length, MSG_NOSIGNAL);
        return -1;
    }
    if (!c->chunks) {
        c->due = 0;
        length += sprintf(buffer + length, "%s", LAST);
    }
    c->out = buffer;
    c->left = (size_t)length;
    if (flush(fd) < 0) return -1;
    if (c->left) { /* Nobody takes a hundred bytes: there is no sense in going on. */
        fprintf(stderr, "a stream is stuck\n");
        return -1;
    }
    return 0;
}

static int loopback(struct sockaddr_in *to, int port) {
    *to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    to->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
}

static void serve(void) {
    struct sockaddr_in here;
    socklen_t size = sizeof here;
    struct epoll_event events[256];
    int listener = loopback(&here, 0), top = 0, paced = 0;
    if (bind(listener, (void *)&here, size) < 0 || listen(listener, 4096) < 0) fail("listen");
    getsockname(listener, (void *)&here, &size);
    printf("%d\n", ntohs(here.sin_port));
    fflush(stdout);
    watch(listener, EPOLL_CTL_ADD, EPOLLIN);
    for (;;) {
        int count = epoll_wait(epoll, events, 256, paced ? 1 : -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                    add(fd, EPOLLIN);
                    if (fd > top) top = fd;
                }
                continue;
            }
            struct conn *c = conns[fd];
            int bad = 0;
            if (events[i].events & EPOLLOUT) {
                bad = flush(fd) < 0;
                if (!bad && !c->left) watch(fd, EPOLL_CTL_MOD, EPOLLIN);
            }
            if (!bad && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
                ssize_t got = recv(fd, c->in + c->have, sizeof c->in - 1 - c->have, 0);
                bad = got == 0 || (got < 0 && errno != EAGAIN);
                if (got > 0) {
                    c->have += (size_t)got;
                    bad = answer(fd) < 0;
                    paced |= !bad && c->due != 0;
                }
            }
            if (bad) drop(fd);
        }
        if (!paced) continue;
        paced = 0;
        long long at = now();
        for (int fd = 0; fd <= top; fd++) {
            if (!conns[fd] || !conns[fd]->due) continue;
            if (conns[fd]->due <= at && pace(fd, now()) < 0)
                drop(fd);
            else
                paced |= conns[fd]->due != 0;
        }
    }
}

static int ascending(const void *a, const void *b) {
    long long x = *(const long long *)a, y = *(const long long *)b;
    return (x > y) - (x < y);
}

static double at(const long long *sorted, size_t count, double part) {
    return count ? (double)sorted[(size_t)((double)(count - 1) * part)] / 1000 : 0;
}

static int streams(int port, int count, const char *header, const char *model) {
    static char buffer[1 << 18];
    struct epoll_event events[256];
    struct sockaddr_in there;
    char request[2048], body[256];
    size_t room = 1 << 16, have = 0, firsts = 0, bytes = 0;
    long long *delays = malloc(room * sizeof *delays), *first = calloc((size_t)count, sizeof *first);
    int failed = 0, open = 0, paced = !strncmp(model, "paced-", 6), events_of = !strncmp(model, "events-", 7);
    int length = snprintf(body, sizeof body, "{\"model\":\"%s\",\"prompt\":\"hi\",\"stream\":true,\"end\":1}", model);
    length = snprintf(request, sizeof request,
                      "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n%s\r\nContent-Type: application/json\r\n"
                      "Content-Length: %d\r\n\r\n%s", events_of ? "/v1/chat/completions" : "/api/generate", port, header, length, body);
    long long began = now();
    for (int i = 0; i < count; i++) {
        int fd = loopback(&there, port);
        if (connect(fd, (void *)&there, sizeof there) < 0 && errno != EINPROGRESS) fail("connect");
        add(fd, EPOLLOUT);
        open++;
    }
    while (open) {
        int ready = epoll_wait(epoll, events, 256, 20000);
        if (ready <= 0) fail("nothing came for 20 s");
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            struct conn *c = conns[fd];
            if (events[i].events & EPOLLOUT) {
                if (send(fd, request, (size_t)length, MSG_NOSIGNAL) != length) fail("send");
                watch(fd, EPOLL_CTL_MOD, EPOLLIN);
                continue;
            }
            /* The rest of the last read, where a chunk or the end may have been cut, goes before. */
            memcpy(buffer, c->in, c->have);
            ssize_t got = recv(fd, buffer + c->have, sizeof buffer - 1 - c->have, 0);
            long long arrived = now();
            if (got < 0 && errno == EAGAIN) continue;
            if (got > 0) {
                char *from = buffer, *mark;
                size_t whole = c->have + (size_t)got;
                bytes += (size_t)got;
                buffer[whole] = 0;
                if (!c->first && (mark = strstr(buffer, events_of ? EVENT_MARK : MARK))) {
                    c->first = arrived;
                    first[firsts++] = arrived - began;
                }
                while (paced && (mark = strstr(from, MARK)) && mark + strlen(MARK) + 20 < buffer + whole) {
                    if (have == room && !(delays = realloc(delays, (room *= 2) * sizeof *delays))) fail("realloc");
                    delays[have++] = arrived - atoll(mark + strlen(MARK));
                    from = mark + strlen(MARK) + 20;
                }
                c->done = whole >= 5 && !memcmp(buffer + whole - 5, LAST, 5);
                c->have = (size_t)(buffer + whole - from);
                if (c->have > 40) c->have = 40;
                memcpy(c->in, buffer + whole - c->have, c->have);
                if (!c->done) continue;
            }
            failed += !c->done || !c->first;
            drop(fd);
            open--;
        }
    }
    double took = (double)(now() - began) / 1e6;
    qsort(delays, have, sizeof *delays, ascending);
    qsort(first, firsts, sizeof *first, ascending);
    printf("{\"ms\":%.3f,\"bytes\":%zu,\"failed\":%d,\"chunks\":%zu,\"p50\":%.1f,\"p99\":%.1f,\"first\":%.1f}\n", took, bytes,
           failed, have, at(delays, have, .5), at(delays, have, .99), at(first, firsts, .5));
    return 0;
}

int main(int count, char **args) {
    epoll = epoll_create1(0);
    if (count == 2 && !strcmp(args[1], "serve")) serve();
    if (count == 6 && !strcmp(args[1], "streams")) return streams(atoi(args[2]), atoi(args[3]), args[4], args[5]);
    fprintf(stderr, "see the top of the source\n");
    return 2;
}
