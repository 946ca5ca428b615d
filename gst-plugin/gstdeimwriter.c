/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* gstdeimwriter.c - see gstdeimwriter.h. */
#include "gstdeimwriter.h"

#include "gstdeimoutput.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

struct _GstDeimWriter {
  gchar *location;
  gint fd;
  gboolean is_own;  /* to be closed: the standard output is the process' */
  gboolean is_file; /* never makes anybody wait */
  GstPoll *poll;
  GstDeimOutput *output; /* shared with others that write to the same */
  gboolean flushing;     /* the output's lock */
};

static void
set_open_error (GError **error, const gchar *location, gint number)
{
  const gchar *mend = "check the folder and its permissions";
  if (number == ENXIO)
    mend = "nobody reads this pipe: start its reader first";
  g_set_error (error, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_OPEN_WRITE, "location: %s cannot be opened: %s; %s",
               location, g_strerror (number), mend);
}

/* One end of a pair of sockets that this process has made for itself, as GStreamer does for each bus. */
static gboolean
is_own_socket (gint fd)
{
  struct ucred peer;
  socklen_t size = sizeof peer;
  return getsockopt (fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.pid == getpid ();
}

/* A process may be started without a standard output. What it opens first then gets its number, which is told here by
 * being read-only, of no kind that an output has (an eventfd), or a socket to the process itself. */
static gint
find_stdout (GError **error)
{
  struct stat info;
  gint flags = fcntl (STDOUT_FILENO, F_GETFL);
  if (flags >= 0 && (flags & O_ACCMODE) != O_RDONLY && fstat (STDOUT_FILENO, &info) == 0 &&
      (info.st_mode & S_IFMT) != 0 && !is_own_socket (STDOUT_FILENO))
    return STDOUT_FILENO;
  g_set_error (error, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_OPEN_WRITE,
               "location: the standard output of this process is closed; set \"location\" to a file, or start the "
               "process with an output");
  return -1;
}

static gint
open_location (const gchar *location, GError **error)
{
  /* Without O_NONBLOCK opening a pipe waits for a reader, and with it the whole pipeline. */
  gint flags = O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK | O_CLOEXEC;
  gint fd = open (location, flags, 0666);
  if (fd >= 0 && fd <= STDERR_FILENO) {
    /* As above: what the process prints would land among the lines. */
    gint other = fcntl (fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    gint number = errno;
    close (fd);
    errno = number;
    fd = other;
  }
  if (fd < 0)
    set_open_error (error, location, errno);
  return fd;
}

/* A disk that was full may have left a part of a line, which the next one must not go on. */
static gboolean
ends_in_a_line (const gchar *location)
{
  gchar last = '\n';
  gint fd = open (location, O_RDONLY | O_CLOEXEC);
  if (fd >= 0 && lseek (fd, -1, SEEK_END) >= 0 && read (fd, &last, 1) < 0)
    last = '\n';
  if (fd >= 0)
    close (fd);
  return last == '\n';
}

/* Empties a file, but not one that another writer of this process has begun to fill. Looks at what @fd is. */
static gboolean
prepare (GstDeimWriter *writer, gboolean append)
{
  struct stat info;
  gboolean first;
  if (fstat (writer->fd, &info) < 0)
    return FALSE;
  writer->is_file = S_ISREG (info.st_mode);
  writer->output = gst_deim_output_get (writer->fd, &first);
  if (!writer->output)
    return FALSE;
  if (!writer->is_own || !writer->is_file || !first)
    return TRUE;
  if (!append)
    return ftruncate (writer->fd, 0) == 0;
  if (!ends_in_a_line (writer->location) && gst_deim_output_begin (writer->output, writer, &writer->flushing)) {
    g_string_append_c (writer->output->rest, '\n');
    gst_deim_output_end (writer->output, writer);
  }
  return TRUE;
}

GstDeimWriter *
gst_deim_writer_new (const gchar *location, gboolean append, GError **error)
{
  gboolean is_own = strcmp (location, "-") != 0;
  gint fd = is_own ? open_location (location, error) : find_stdout (error);
  if (fd < 0)
    return NULL;
  GstDeimWriter *writer = g_new0 (GstDeimWriter, 1);
  writer->location = g_strdup (is_own ? location : "the standard output");
  writer->fd = fd;
  writer->is_own = is_own;
  writer->poll = gst_poll_new (TRUE);
  if (!prepare (writer, append)) {
    set_open_error (error, writer->location, errno);
    gst_deim_writer_free (writer);
    return NULL;
  }
  GstPollFD watched = GST_POLL_FD_INIT;
  watched.fd = fd;
  gst_poll_add_fd (writer->poll, &watched);
  gst_poll_fd_ctl_write (writer->poll, &watched, TRUE);
  return writer;
}

void
gst_deim_writer_free (GstDeimWriter *writer)
{
  if (!writer)
    return;
  gst_poll_free (writer->poll);
  if (writer->is_own)
    close (writer->fd);
  if (writer->output)
    gst_deim_output_unref (writer->output);
  g_free (writer->location);
  g_free (writer);
}

void
gst_deim_writer_set_flushing (GstDeimWriter *writer, gboolean flushing)
{
  gst_poll_set_flushing (writer->poll, flushing);
  gst_deim_output_set_flushing (writer->output, &writer->flushing, flushing);
}

/*
 * write(2), with a pipe whose reader is gone as an error and not as a signal that ends the process. The signal goes to
 * the thread that writes, so it is held off here and taken back; one that was pending before is somebody else's.
 */
static gssize
write_without_signal (gint fd, const gchar *data, gsize size)
{
  sigset_t pipe_signal, former, pending;
  sigemptyset (&pipe_signal);
  sigaddset (&pipe_signal, SIGPIPE);
  sigpending (&pending);
  gboolean was_pending = sigismember (&pending, SIGPIPE) == 1;
  pthread_sigmask (SIG_BLOCK, &pipe_signal, &former);
  gssize written = write (fd, data, size);
  gint number = errno;
  if (written < 0 && number == EPIPE && !was_pending) {
    const struct timespec now = { 0 };
    while (sigtimedwait (&pipe_signal, NULL, &now) < 0 && errno == EINTR)
      continue;
  }
  pthread_sigmask (SIG_SETMASK, &former, NULL);
  errno = number;
  return written;
}

static GstFlowReturn
write_failed (GstDeimWriter *writer, gint number, GError **error)
{
  gboolean full = number == ENOSPC || number == EDQUOT || number == EFBIG;
  const gchar *mend = "check what it is connected to";
  if (full)
    mend = "make room, or choose another location";
  else if (number == EPIPE)
    mend = "the reader of the pipe has ended";
  g_set_error (error, GST_RESOURCE_ERROR, full ? GST_RESOURCE_ERROR_NO_SPACE_LEFT : GST_RESOURCE_ERROR_WRITE,
               "%s cannot be written: %s; %s", writer->location, g_strerror (number), mend);
  return GST_FLOW_ERROR;
}

/* Writes @size bytes; @done says how many it were, in any case. */
static GstFlowReturn
write_all (GstDeimWriter *writer, const gchar *data, gsize size, gsize *done, GError **error)
{
  for (*done = 0; *done < size;) {
    /* A pipe that poll() finds writable takes so much without waiting, even one that is not set to O_NONBLOCK (the
     * standard output belongs to others too and is left as it is). */
    gsize part = writer->is_file ? size - *done : MIN (size - *done, PIPE_BUF);
    if (!writer->is_file && gst_poll_wait (writer->poll, GST_CLOCK_TIME_NONE) < 0) {
      if (errno == EBUSY)
        return GST_FLOW_FLUSHING;
      if (errno != EINTR && errno != EAGAIN)
        return write_failed (writer, errno, error);
      continue;
    }
    gssize written = write_without_signal (writer->fd, data + *done, part);
    if (written >= 0)
      *done += (gsize) written;
    else if (errno != EINTR && errno != EAGAIN)
      return write_failed (writer, errno, error);
  }
  return GST_FLOW_OK;
}

/* When it is our turn: what somebody left of a line, then @line. */
static GstFlowReturn
write_line (GstDeimWriter *writer, const GString *line, GError **error)
{
  GString *rest = writer->output->rest;
  gsize done;
  if (rest->len > 0) {
    GstFlowReturn flow = write_all (writer, rest->str, rest->len, &done, error);
    g_string_erase (rest, 0, (gssize) done);
    if (flow != GST_FLOW_OK)
      return flow;
  }
  GstFlowReturn flow = write_all (writer, line->str, line->len, &done, error);
  if (flow == GST_FLOW_FLUSHING && done > 0)
    g_string_append_len (rest, line->str + done, (gssize) (line->len - done));
  return flow;
}

GstFlowReturn
gst_deim_writer_write (GstDeimWriter *writer, const GString *line, GError **error)
{
  if (!gst_deim_output_begin (writer->output, writer, &writer->flushing))
    return GST_FLOW_FLUSHING;
  GstFlowReturn flow = write_line (writer, line, error);
  gst_deim_output_end (writer->output, writer);
  return flow;
}
