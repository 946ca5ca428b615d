#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reads what deimdetect attached to frames, in Python: read-metadata.py MODEL URI

URI: file:///home/me/street.mp4, rtsp://camera/stream. Prints a line for each object of each frame.

Needs GStreamer's introspection (Debian: python3-gi gir1.2-gst-plugins-base-1.0). With GStreamer 1.24 and later objects
are read from GstAnalyticsRelationMeta (gir1.2-gst-plugins-bad-1.0), which is made for that. In 1.22 there are regions of
interest, and introspection cannot go through them: there we call the C function ourselves.
"""
import ctypes
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstApp", "1.0")
from gi.repository import Gst, GstApp  # noqa: E402

try:
    gi.require_version("GstAnalytics", "1.0")
    from gi.repository import GLib, GstAnalytics
except ValueError:
    GstAnalytics = None


def read_analytics(buffer):
    """Yields (label, confidence, x, y, w, h) of each object in the frame's relation meta."""
    relations = GstAnalytics.buffer_get_analytics_relation_meta(buffer)
    for index in range(GstAnalytics.relation_get_length(relations) if relations else 0):
        found, thing = relations.get_od_mtd(index)
        if found:  # other kinds of things stand there too: classes, tracks
            _, x, y, w, h, confidence = thing.get_location()
            yield GLib.quark_to_string(thing.get_obj_type()), confidence, x, y, w, h


class RegionOfInterest(ctypes.Structure):
    """The beginning of GstVideoRegionOfInterestMeta (gst/video/gstvideometa.h)."""
    _fields_ = [("flags", ctypes.c_int), ("info", ctypes.c_void_p), ("roi_type", ctypes.c_uint32),
                ("id", ctypes.c_int), ("parent_id", ctypes.c_int), ("x", ctypes.c_uint), ("y", ctypes.c_uint),
                ("w", ctypes.c_uint), ("h", ctypes.c_uint)]


def declare(library, name, result, *arguments):
    function = getattr(library, name)
    function.restype, function.argtypes = result, arguments
    return function


if GstAnalytics is None:
    GST = ctypes.CDLL("libgstreamer-1.0.so.0")
    VIDEO = ctypes.CDLL("libgstvideo-1.0.so.0")
    POINTER = ctypes.c_void_p
    api_of = declare(VIDEO, "gst_video_region_of_interest_meta_api_get_type", ctypes.c_size_t)
    iterate = declare(GST, "gst_buffer_iterate_meta_filtered", POINTER, POINTER, ctypes.POINTER(POINTER),
                      ctypes.c_size_t)
    quark_text = declare(GST, "g_quark_to_string", ctypes.c_char_p, ctypes.c_uint32)
    get_param = declare(VIDEO, "gst_video_region_of_interest_meta_get_param", POINTER, POINTER, ctypes.c_char_p)
    get_double = declare(GST, "gst_structure_get_double", ctypes.c_int, POINTER, ctypes.c_char_p,
                         ctypes.POINTER(ctypes.c_double))


def read_regions(buffer):
    """Yields (label, confidence, x, y, w, h) of each region of interest."""
    state = ctypes.c_void_p()
    # The hash of a boxed object is its address.
    while meta := iterate(hash(buffer), ctypes.byref(state), api_of()):
        region = ctypes.cast(meta, ctypes.POINTER(RegionOfInterest)).contents
        confidence = ctypes.c_double()
        detection = get_param(meta, b"detection")
        if detection:
            get_double(detection, b"confidence", ctypes.byref(confidence))
        yield quark_text(region.roi_type).decode(), confidence.value, region.x, region.y, region.w, region.h


def was_inferred(buffer):
    """Whether anybody looked at the frame: "nothing found" and "not looked at" are different things."""
    mark = buffer.get_custom_meta("DeimFrameMeta")
    return mark is not None and mark.get_structure().get_boolean("inferred")[1]


def read_frame(out, read_objects):
    """Called by the streaming thread for each frame; the pipeline goes on when it returns."""
    buffer = out.pull_sample().get_buffer()
    if was_inferred(buffer):
        for label, confidence, x, y, w, h in read_objects(buffer):
            print("%.3f s  %-14s %.2f  at %d,%d, %d x %d" % (buffer.pts / Gst.SECOND, label, confidence, x, y, w, h))
    return Gst.FlowReturn.OK


def main(arguments):
    if len(arguments) != 2:
        print(__doc__)
        return 0 if arguments == ["--help"] else 2
    Gst.init(None)
    pipeline = Gst.parse_launch("uridecodebin name=source ! videoconvert ! deimdetect name=detect ! "
                                "appsink name=out sync=false max-buffers=4 emit-signals=true")
    pipeline.get_by_name("detect").set_property("model", arguments[0])
    pipeline.get_by_name("source").set_property("uri", arguments[1])
    pipeline.get_by_name("out").connect("new-sample", read_frame, read_analytics if GstAnalytics else read_regions)

    pipeline.set_state(Gst.State.PLAYING)
    message = pipeline.get_bus().timed_pop_filtered(Gst.CLOCK_TIME_NONE, Gst.MessageType.EOS | Gst.MessageType.ERROR)
    pipeline.set_state(Gst.State.NULL)
    if message.type == Gst.MessageType.ERROR:
        print("read-metadata.py: " + message.parse_error()[0].message, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
