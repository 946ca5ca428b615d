#!/usr/bin/env bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Publishes what is found to an MQTT broker, and shows the picture too.
#
#   pipelines/mqtt.sh MODEL INPUT [HOST[:PORT] [TOPIC]]     localhost and cameras/{stream} unless given
#                                                           IPv6 addresses in brackets: [::1] or [::1]:1883
#   mosquitto_sub -h HOST -v -t 'cameras/#'                 what arrives there
#
# The picture never waits for the broker. While that is away, 3000 documents are kept for it (two minutes at 25 frames a
# second). A broker that wants a password or TLS: gst-inspect-1.0 deimmqtt.
#
. "$(dirname "$0")/common.sh"
begin 1 3 "$@"
read_from "${arguments[0]}"
host=${arguments[1]:-localhost}
port=0 # MQTT's own
topic=${arguments[2]:-'cameras/{stream}'}
case $host in
\[*\]:*) port=${host##*:} host=${host%:*} ;;
\[*\]) ;;
*:*:*) die "an IPv6 address stands in brackets: [$host], or [::1]:1883 with a port" ;;
*:*) port=${host##*:} host=${host%:*} ;;
esac
host=${host#\[} host=${host%\]}
if [ -z "$host" ] || ! [[ $port =~ ^[0-9]{1,5}$ ]]; then
  die "this is no broker, HOST[:PORT]: ${arguments[1]}"
fi
have deimmqtt || die "this build has no deimmqtt: install libmosquitto-dev and build again"

launch "${source[@]}" ! \
  deimdetect model="$model" "${settings[@]}" ! queue max-size-bytes=0 ! \
  deimmqtt host="$host" port="$port" topic="$topic" ! \
  deimoverlay ! "${sink[@]}"
