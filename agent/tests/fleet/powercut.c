/* What a disk has for sure: each time a program says fsync, the content of that file and the names of all files are put aside. After the
 * program was killed, the folder is put back as it was put aside, and what nobody made sure of is gone, as after a power cut.
 *
 * Names are kept as a journalling file system keeps them: any fsync makes earlier ones last. Contents last only by an fsync of their own
 * file; sync_file_range promises nothing. While a file `lies` lies in the shadow, nothing is put aside: a disk that lies.
 *
 * Loaded by LD_PRELOAD with POWERCUT_ROOT and POWERCUT_SHADOW, absolute and without links. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;

/* A file, whatever it is called: its number, and when it was made, for numbers are used again. */
static int identity(int at, const char *path, int flags, char *out, size_t room) {
    struct statx is;
    if (statx(at, path, flags, STATX_INO | STATX_BTIME | STATX_TYPE, &is) != 0)
        return -1;
    snprintf(out, room, "%llu-%lld-%u", (unsigned long long)is.stx_ino, (long long)is.stx_btime.tv_sec, is.stx_btime.tv_nsec);
    return S_ISREG(is.stx_mode) ? 1 : S_ISDIR(is.stx_mode) ? 2 : 0;
}

static void must(int held, const char *what) {
    if (!held) {
        perror(what);
        abort();
    }
}

static void put_aside(int fd, const char *shadow, const char *name) {
    char aside[PATH_MAX], place[PATH_MAX], path[64];
    static char block[1 << 20];
    snprintf(aside, sizeof aside, "%s/new", shadow);
    snprintf(place, sizeof place, "%s/%s", shadow, name);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int from = open(path, O_RDONLY | O_CLOEXEC), to = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    must(from >= 0 && to >= 0, "putting aside");
    for (ssize_t got; (got = read(from, block, sizeof block)) != 0;) {
        must(got > 0, "reading");
        must(write(to, block, (size_t)got) == got, "writing");
    }
    close(from);
    close(to);
    must(rename(aside, place) == 0, "putting aside");
}

static void list(FILE *out, const char *root, const char *below) {
    char folder[PATH_MAX];
    snprintf(folder, sizeof folder, "%s%s", root, below);
    DIR *names = opendir(folder);
    if (!names)
        return;
    for (struct dirent *name; (name = readdir(names));) {
        char path[PATH_MAX], full[PATH_MAX], id[96];
        if (!strcmp(name->d_name, ".") || !strcmp(name->d_name, ".."))
            continue;
        if (snprintf(path, sizeof path, "%s/%s", below, name->d_name) >= (int)sizeof path
            || snprintf(full, sizeof full, "%s%s", root, path) >= (int)sizeof full)
            continue;
        int kind = identity(AT_FDCWD, full, AT_SYMLINK_NOFOLLOW, id, sizeof id);
        if (kind > 0)
            fprintf(out, "%c %s %s\n", kind == 1 ? 'f' : 'd', id, path);
        if (kind == 2)
            list(out, root, path);
    }
    closedir(names);
}

static void made_sure(int fd) {
    const char *root = getenv("POWERCUT_ROOT"), *shadow = getenv("POWERCUT_SHADOW");
    char link[64], path[PATH_MAX], id[96], lies[PATH_MAX], aside[PATH_MAX], place[PATH_MAX];
    if (!root || !shadow)
        return;
    int saved = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length > 0) {
        path[length] = 0;
        snprintf(lies, sizeof lies, "%s/lies", shadow);
        pthread_mutex_lock(&one_at_a_time);
        if (!strncmp(path, root, strlen(root)) && access(lies, F_OK) != 0) {
            if (identity(fd, "", AT_EMPTY_PATH, id, sizeof id) == 1)
                put_aside(fd, shadow, id);
            snprintf(aside, sizeof aside, "%s/names.new", shadow);
            snprintf(place, sizeof place, "%s/names", shadow);
            FILE *out = fopen(aside, "we");
            must(out != NULL, "listing");
            list(out, root, "");
            must(fclose(out) == 0 && rename(aside, place) == 0, "listing");
        }
        pthread_mutex_unlock(&one_at_a_time);
    }
    errno = saved;
}

int fsync(int fd) {
    static int (*real)(int);
    if (!real)
        real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    int done = real(fd);
    if (done == 0)
        made_sure(fd);
    return done;
}

int fdatasync(int fd) {
    static int (*real)(int);
    if (!real)
        real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    int done = real(fd);
    if (done == 0)
        made_sure(fd);
    return done;
}
