#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The desktop's first program: starts the display, then what is on it, and ends with the display.
# File descriptor 3 brings the supervisor's orders.
session=/run/sluice/session
export DISPLAY=:1 DBUS_SESSION_BUS_ADDRESS="unix:path=$XDG_RUNTIME_DIR/bus"
export XDG_CURRENT_DESKTOP=Sluice XDG_SESSION_TYPE=x11 NO_AT_BRIDGE=1
export GTK2_RC_FILES=$session/gtk-2.0.rc

mkfifo /tmp/.display-ready
Xtigervnc :1 -rfbunixpath /run/sluice/display/rfb.sock -rfbunixmode 0600 -rfbport -1 \
  -SecurityTypes None -AlwaysShared -geometry "$SLUICE_SIZE" -depth 24 -dpi 96 -noreset -br \
  -nolisten tcp -ac -MaxCutText 1048576 -desktop "$(cat $session/title)" -displayfd 4 \
  4>/tmp/.display-ready 3<&- &
display=$!
read -r number </tmp/.display-ready
rm -f /tmp/.display-ready
if [ -z "$number" ]; then
  echo 'the display server did not start' >&2
  exit 70
fi

{
  xsetroot -solid '#20292e' -cursor_name left_ptr
  if [ "$SLUICE_KEYBOARD" != us ]; then setxkbmap -layout "$SLUICE_KEYBOARD"; fi
  # Own settings of the home come after ours.
  xrdb -nocpp -merge $session/Xresources
  if [ -r "$HOME/.Xresources" ]; then xrdb -nocpp -merge "$HOME/.Xresources"; fi
} 3<&- &
looks=$!
dbus-daemon --session --address="$DBUS_SESSION_BUS_ADDRESS" --nofork --nopidfile --nosyslog 3<&- &
tint2 -c $session/tint2rc 3<&- &
panel=$!
vncconfig -nowin 3<&- &
# A program reads its colours and fonts once, when it starts; and a window that is there before its
# manager gets no keyboard.
wait "$looks"
# Without its manager no window can be moved or gets the keyboard, so one that ends is followed by
# another; the programs are started by the first alone.
{
  openbox --config-file $session/openbox.xml --startup "sh $session/programs.sh"
  while sleep 1; do openbox --config-file $session/openbox.xml; done
} 3<&- &

# Everything is asked to end but this shell and the display, so that programs can still save; the
# display follows when they are gone. The supervisor kills what takes too long.
leave() {
  trap '' TERM
  # It has nothing to save, and loses a SIGTERM that comes while it starts.
  kill -KILL "$panel" 2>/dev/null
  for pid in $(ls /proc); do
    case $pid in
      *[!0-9]* | 1 | $$ | "$display") ;;
      *) kill -TERM "$pid" 2>/dev/null ;;
    esac
  done
  while others; do sleep 0.05; done
  kill -TERM "$display" 2>/dev/null
}
others() {
  for pid in $(ls /proc); do
    case $pid in
      *[!0-9]* | 1 | $$ | "$display" | "$watcher") continue ;;
    esac
    # The listing itself is gone by now.
    [ -d "/proc/$pid" ] && return 0
  done
  return 1
}

(read -r order <&3 && kill -USR1 $$) &
watcher=$!
exec 3<&-
leaving=
trap 'leaving=1; leave' USR1
wait "$display"
code=$?
if [ -n "$leaving" ]; then exit 0; fi
exit $code
