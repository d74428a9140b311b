#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Starts the template's programs, one a line. The window manager runs it once it manages windows.
while read -r command; do
  sh -c "$command" &
done </run/sluice/session/autostart
