// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "base/ids.h"
#include "base/units.h"

namespace sluice {

// A program that a template needs on the host, and how to get it.
struct HostProgram {
  std::string name;     // Looked up in PATH: "g++".
  std::string install;  // "apt-get install g++".
};

// What a desktop is made from.
struct Template {
  TemplateId id;     // "compile".
  std::string name;  // English; the web client translates by id.
  std::string summary;
  Bytes default_memory;  // The preset's share.
  Duration default_idle_stop{0};
  std::vector<HostProgram> needs;
  std::vector<std::string> autostart;  // Commands run in the session after the panel.
};

// The three that come with Sluice: compile, replay, pytorch.
std::vector<Template> BuiltInTemplates();

}  // namespace sluice
