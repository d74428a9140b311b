// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <fmt/core.h>
#include <memory>
#include <thread>

#include "cli/cli.h"
#include "cli/internal/fields.h"
#include "cli/internal/print.h"
#include "cli/internal/verb.h"

namespace sluice::cli {
namespace {

constexpr std::chrono::milliseconds kLookEvery{200};

std::string ShareText(const Json& desktop) {
  std::string text = BytesText(Object(desktop, "gpu"), "memory_bytes");
  for (const Json& allocation : Array(desktop, "allocation")) {
    text += " on " + Text(allocation, "gpu_model");
    if (Flag(allocation, "simulated")) text += " (simulated)";
  }
  return text;
}

std::string UseText(const Json& desktop) {
  const Json& usage = Object(desktop, "usage");
  if (usage.empty()) return "-";
  return BytesText(usage, "used_bytes") + " of " + BytesText(usage, "limit_bytes");
}

void PrintDesktop(const Json& desktop) {
  const auto row = [](std::string_view name, const std::string& value) {
    Out(fmt::format("{:<12}{}\n", name, value));
  };
  row("name", Text(desktop, "name"));
  row("id", Text(desktop, "id"));
  row("owner", Text(Object(desktop, "owner"), "name"));
  row("template", Text(desktop, "template_id"));
  row("state", Text(desktop, "state"));
  row("reason", Text(desktop, "reason"));
  const Json& queue = Object(desktop, "queue");
  if (!queue.empty()) {
    row("queue",
        fmt::format("{} of {}, next likely {}",
                    Number(queue, "position"),
                    Number(queue, "waiting"),
                    TimeText(queue, "next_likely_at")));
  }
  row("share", ShareText(desktop));
  row("in use", UseText(desktop));
  row("created", TimeText(desktop, "created_at"));
  row("stops", TimeText(desktop, "stops_at"));
  if (!Text(desktop, "message").empty()) {
    const bool ours = Text(desktop, "message_from") == "system";
    row("message", (ours ? "from Sluice: " : "from the operator: ") + Text(desktop, "message"));
  }
}

int Show(Context& context, const Json& desktop) {
  if (context.json) {
    OutJson(desktop);
  } else {
    PrintDesktop(desktop);
  }
  return kOk;
}

// One line about a desktop after a change.
int Tell(Context& context, const Json& desktop) {
  if (context.json) return Show(context, desktop);
  // What is wished is answered at once; the state follows.
  const std::string state = Text(desktop, "state");
  if (Text(desktop, "desired_state") == "stopped" && state != "stopped" && state != "failed") {
    Out(fmt::format("{} is being stopped; its home is kept\n", Text(desktop, "name")));
    return kOk;
  }
  Out(fmt::format("{}: {}. {}\n", Text(desktop, "name"), state, Text(desktop, "reason")));
  return kOk;
}

Action MakeList(CLI::App&) {
  return [](Context& context) {
    const Json desktops = VisibleDesktops(context.api);
    if (context.json) {
      OutJson(desktops);
      return kOk;
    }
    Table table({"NAME", "OWNER", "TEMPLATE", "STATE", "SHARE", "IN USE", "REASON"});
    for (const Json& desktop : desktops) {
      table.Add({Text(desktop, "name"),
                 Text(Object(desktop, "owner"), "name"),
                 Text(desktop, "template_id"),
                 Text(desktop, "state"),
                 ShareText(desktop),
                 UseText(desktop),
                 Text(desktop, "reason")});
    }
    Out(
        table.Lines("No desktop yet. Make one with: sluice desktop create NAME --template compile "
                    "--memory 4GiB"));
    return kOk;
  };
}

struct WaitWish {
  std::string wanted = "ready";
  std::string at_most = "2m";
  std::string not_ready_since;  // Ready since then does not count: it was before a restart.
};

// Looks until the desktop is where it should be, saying each new reason once.
int WaitFor(Context& context, const Json& desktop, const WaitWish& wish) {
  const std::string path = PathOf("desktops", desktop);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(Seconds(wish.at_most));
  std::string said;
  for (;;) {
    Json now;
    try {
      now = context.api.Get(path);
    } catch (const CommandFailed& failed) {
      if (failed.failure.status == 404 && wish.wanted == "deleted") return kOk;
      throw;
    }
    const std::string state = Text(now, "state");
    const bool up = state == "ready" || state == "connected" || state == "idle_warned";
    const bool there = wish.wanted == "ready" ? up && Text(now, "ready_at") != wish.not_ready_since
                                              : state == wish.wanted;
    if (there) return Tell(context, now);
    // Failed and wished to run: it is about to be tried again.
    if (state == "failed" && Text(now, "desired_state") != "running") {
      Err(Text(now, "reason") + "\n");
      return kError;
    }
    const std::string reason = Text(now, "reason");
    if (reason != said && !context.json) Err(fmt::format("{}: {}\n", state, reason));
    said = reason;
    if (std::chrono::steady_clock::now() >= end) {
      Err(fmt::format("still {} after {}\n", state, wish.at_most));
      return kTimedOut;
    }
    std::this_thread::sleep_for(kLookEvery);
  }
}

struct CreateWish {
  std::string name;
  std::string made_from = "compile";
  std::string memory;
  std::string compute;
  std::string cap;
  int priority = 0;
  std::string model;
  std::string run_for;
  std::string idle_stop;
  std::string keyboard;
  bool idle_by_gpu = true;
  bool wait = false;
};

Json CreateBody(const CreateWish& wish, const Json& made_from) {
  Json body;
  body["name"] = wish.name;
  body["template_id"] = wish.made_from;
  body["kind"] = "container";
  body["gpu"]["memory_bytes"] =
      wish.memory.empty() ? Number(made_from, "default_memory_bytes") : MemoryBytes(wish.memory);
  AddCompute(body["gpu"], wish.compute, wish.cap);
  AddPriority(body["gpu"], wish.priority);
  if (!wish.model.empty()) body["gpu"]["model"] = wish.model;
  if (!wish.run_for.empty()) body["run_for_s"] = Seconds(wish.run_for);
  body["idle"]["stop_after_s"] =
      wish.idle_stop.empty() ? Number(made_from, "default_idle_stop_s") : Seconds(wish.idle_stop);
  body["idle"]["gpu_keeps_alive"] = wish.idle_by_gpu;
  if (!wish.keyboard.empty()) body["keyboard_layout"] = wish.keyboard;
  return body;
}

Action MakeCreate(CLI::App& app) {
  auto wish = std::make_shared<CreateWish>();
  app.add_option("NAME", wish->name, "What people call it")->required();
  app.add_option("--template", wish->made_from, "See: sluice template list")->capture_default_str();
  app.add_option("--memory", wish->memory, "GPU memory, for example 8GiB; default: the template's")
      ->check(kMemory);
  AddComputeOptions(app, wish->compute, wish->cap);
  AddPriorityOption(app, wish->priority);
  app.add_option(
      "--model", wish->model, "Only on this card model; see: sluice gpu list; default: any");
  app.add_option("--run-for", wish->run_for, "Stop this long after it is ready, for example 8h")
      ->check(kTimeSpan);
  app.add_option("--idle-stop", wish->idle_stop, "Stop after so long without input")
      ->check(kTimeSpan);
  app.add_option("--keyboard", wish->keyboard, "Layout: us, de, cn, …");
  app.add_flag("!--idle-even-if-gpu-works",
               wish->idle_by_gpu,
               "Count it as idle although its share is at work");
  app.add_flag("--wait", wish->wait, "Return when it is ready");
  return [wish](Context& context) {
    Json made_from = Json::object();
    for (const Json& one : context.api.All("/v1/templates")) {
      if (Text(one, "id") == wish->made_from) made_from = one;
    }
    const Json desktop = context.api.Post("/v1/desktops", CreateBody(*wish, made_from));
    return wish->wait ? WaitFor(context, desktop, {}) : Tell(context, desktop);
  };
}

// A verb on one desktop, named by its first argument.
Action OnDesktop(CLI::App& app, std::function<int(Context&, const Json&)> what) {
  auto name = std::make_shared<std::string>();
  app.add_option("NAME", *name, "Name or id of the desktop")->required();
  return [name, what = std::move(what)](Context& context) {
    return what(context, FindDesktop(context.api, *name));
  };
}

Action MakeShow(CLI::App& app) {
  return OnDesktop(app,
                   [](Context& context, const Json& desktop) { return Show(context, desktop); });
}

Action MakeOpen(CLI::App& app) {
  return OnDesktop(app, [](Context& context, const Json& desktop) {
    const std::string url =
        context.api.WebAddress() + "/desktops/" + Encoded(Text(desktop, "id")) + "/view";
    if (context.json) {
      OutJson({{"url", url}});
    } else {
      Out(url + "\n");
    }
    return kOk;
  });
}

Action Wishing(CLI::App& app, const std::string& desired) {
  auto wait = std::make_shared<bool>(false);
  app.add_flag("--wait", *wait, "Return when it is done");
  return OnDesktop(app, [wait, desired](Context& context, const Json& desktop) {
    const Json changed =
        context.api.Change(PathOf("desktops", desktop), {{"desired_state", desired}});
    if (!*wait) return Tell(context, changed);
    return WaitFor(
        context, desktop, {.wanted = desired == "running" ? "ready" : desired, .at_most = "2m"});
  });
}

Action MakeStop(CLI::App& app) {
  return Wishing(app, "stopped");
}
Action MakeStart(CLI::App& app) {
  return Wishing(app, "running");
}

Action MakeRestart(CLI::App& app) {
  auto wait = std::make_shared<bool>(false);
  app.add_flag("--wait", *wait, "Return when it is ready again");
  return OnDesktop(app, [wait](Context& context, const Json& desktop) {
    const Json asked = context.api.Post(PathOf("desktops", desktop) + "/restart", nullptr);
    if (!*wait) return Tell(context, asked);
    return WaitFor(context, asked, {.not_ready_since = Text(asked, "ready_at")});
  });
}

struct ResizeWish {
  std::string memory;
  std::string compute;
  std::string cap;
  bool wait = false;
};

// What is not named stays as it is.
Json ResizeBody(const ResizeWish& wish, const Json& desktop) {
  const Json& gpu = Object(desktop, "gpu");
  Json body{{"memory_bytes",
             wish.memory.empty() ? Number(gpu, "memory_bytes") : MemoryBytes(wish.memory)},
            {"guarantee_percent", gpu.value("guarantee_percent", Json())},
            {"cap_percent", Number(gpu, "cap_percent")}};
  AddCompute(body, wish.compute, wish.cap);
  return body;
}

int Resize(Context& context, Json desktop, const ResizeWish& wish) {
  const std::string path = PathOf("desktops", desktop) + "/resize";
  std::string said;
  for (;;) {
    try {
      return Tell(context, context.api.Post(path, ResizeBody(wish, desktop)));
    } catch (const CommandFailed& failed) {
      if (!wish.wait || failed.failure.code != "share_in_use") throw;
      if (failed.failure.text != said && !context.json) {
        said = failed.failure.text;
        Err("waiting: " + said + "\n");
      }
    }
    std::this_thread::sleep_for(kLookEvery);
    desktop = context.api.Get(PathOf("desktops", desktop));
  }
}

Action MakeResize(CLI::App& app) {
  auto wish = std::make_shared<ResizeWish>();
  app.add_option("--memory", wish->memory, "GPU memory, for example 8GiB; not below what is in use")
      ->check(kMemory);
  AddComputeOptions(app, wish->compute, wish->cap);
  app.add_flag("--wait", wish->wait, "If programs hold more than that, wait until they do not");
  app.require_option(1, 0);
  return OnDesktop(app, [wish](Context& context, const Json& desktop) {
    return Resize(context, desktop, *wish);
  });
}

// The command that asks for the alternative.
std::string AskCommand(const Json& desktop, const Json& gpu) {
  const int64_t mib = Number(gpu, "memory_bytes") >> 20;
  const std::string memory =
      mib % 1024 == 0 ? fmt::format("{}GiB", mib / 1024) : fmt::format("{}MiB", mib);
  std::string command = "sluice desktop ask " + Text(desktop, "name") + " --memory " + memory;
  const std::string model = Text(gpu, "model");
  if (!model.empty()) command += " --model \"" + model + "\"";
  const auto guarantee = gpu.find("guarantee_percent");
  if (guarantee != gpu.end() && guarantee->is_number()) {
    command += " --compute " + std::to_string(Number(gpu, "guarantee_percent")) + "%";
  }
  return command;
}

Json ExplanationOf(Context& context, const Json& desktop) {
  return context.api.Get(PathOf("desktops", desktop) + "/explanation");
}

void PrintAnswer(const Json& desktop, const Json& why) {
  const std::string reason = Text(why, "reason");
  Out(fmt::format("{}: {}\n", Text(desktop, "name"), Text(why, "answer")));
  if (!reason.empty()) Out(reason + "\n");
  Out(Text(why, "summary") + "\n");
}

void PrintExplanation(const Json& desktop, const Json& why) {
  PrintAnswer(desktop, why);
  Out("\n");
  Table table({"CARD", "MODEL", "WHAT IT SAYS"});
  for (const Json& card : Array(why, "cards")) {
    table.Add({fmt::format("{} {}", Text(card, "node"), Number(card, "index")),
               Text(card, "model") + (Flag(card, "simulated") ? " (simulated)" : ""),
               Text(card, "words")});
  }
  Out(table.Lines("There is no card."));
  const Json& others = Array(why, "alternatives");
  if (others.empty()) return;
  Out("\nWould start now instead:\n");
  for (const Json& other : others) {
    Out(fmt::format(
        "  {:<32}{}\n", Text(other, "words"), AskCommand(desktop, Object(other, "gpu"))));
  }
}

Action MakeExplain(CLI::App& app) {
  return OnDesktop(app, [](Context& context, const Json& desktop) {
    const Json why = ExplanationOf(context, desktop);
    if (context.json) {
      OutJson(why);
    } else {
      PrintExplanation(desktop, why);
    }
    return kOk;
  });
}

struct AskWish {
  ResizeWish share;
  std::string model;
};

Action MakeAsk(CLI::App& app) {
  auto wish = std::make_shared<AskWish>();
  app.add_option("--memory", wish->share.memory, "GPU memory, for example 6GiB")->check(kMemory);
  AddComputeOptions(app, wish->share.compute, wish->share.cap);
  app.add_option("--model", wish->model, "Only on this card model; any: on any");
  app.require_option(1, 0);
  return OnDesktop(app, [wish](Context& context, const Json& desktop) -> int {
    Json body = ResizeBody(wish->share, desktop);
    if (!wish->model.empty()) body["model"] = wish->model == "any" ? Json() : Json(wish->model);
    const Json asked = context.api.PostOn(PathOf("desktops", desktop), "ask", body);
    if (context.json) return Show(context, asked);
    // The row says why it waited with its former wish, until the queue comes to it again.
    PrintAnswer(asked, ExplanationOf(context, asked));
    return kOk;
  });
}

Action MakeDelete(CLI::App& app) {
  auto drop_home = std::make_shared<bool>(false);
  auto sure = std::make_shared<bool>(false);
  app.add_flag("--delete-home", *drop_home, "The home folder too; it cannot be brought back");
  app.add_flag("--yes", *sure, "Needed together with --delete-home");
  return OnDesktop(app, [drop_home, sure](Context& context, const Json& desktop) {
    if (*drop_home && !*sure) {
      Stop(kUsage,
           fmt::format("this deletes {} and every file of its home for good; add --yes if that is "
                       "meant",
                       Text(desktop, "name")));
    }
    context.api.Remove(PathOf("desktops", desktop),
                       *drop_home ? "keep_home=false" : "keep_home=true");
    if (!context.json) {
      Out(fmt::format("{} is being deleted; its home is {}\n",
                      Text(desktop, "name"),
                      *drop_home ? "deleted too" : "kept"));
    }
    return kOk;
  });
}

Action MakeLog(CLI::App& app) {
  return OnDesktop(app, [](Context& context, const Json& desktop) {
    std::string log = context.api.GetText(PathOf("desktops", desktop) + "/log");
    std::string line;
    for (const char c : log) {
      if (c == '\n') {
        Out(Safe(line) + "\n");
        line.clear();
      } else {
        line += c;
      }
    }
    if (!line.empty()) Out(Safe(line) + "\n");
    return kOk;
  });
}

Action MakeWait(CLI::App& app) {
  auto wish = std::make_shared<WaitWish>();
  app.add_option("--for", wish->wanted, "ready, stopped or deleted")
      ->check(CLI::IsMember({"ready", "stopped", "deleted"}))
      ->capture_default_str();
  app.add_option("--timeout", wish->at_most, "Give up after so long")
      ->check(kTimeSpan)
      ->capture_default_str();
  return OnDesktop(app, [wish](Context& context, const Json& desktop) {
    return WaitFor(context, desktop, *wish);
  });
}

Action MakeMessage(CLI::App& app) {
  auto text = std::make_shared<std::string>();
  Action action = OnDesktop(app, [text](Context& context, const Json& desktop) {
    return Tell(context,
                context.api.Post(PathOf("desktops", desktop) + "/messages", {{"text", *text}}));
  });
  app.add_option("TEXT", *text, "Shown to its user")->required();
  return action;
}

constexpr Verb kVerbs[] = {
    {"desktop", "list", "The desktops that you may see", MakeList},
    {"desktop", "create", "Make a desktop and start it", MakeCreate},
    {"desktop", "show", "One desktop, with its share and its reason", MakeShow},
    {"desktop", "open", "Print the address that opens it in a browser", MakeOpen},
    {"desktop", "stop", "Stop it; its home is kept", MakeStop},
    {"desktop", "start", "Start it again", MakeStart},
    {"desktop", "restart", "Stop and start it on the same share", MakeRestart},
    {"desktop", "resize", "Change its share while it runs", MakeResize},
    {"desktop", "explain", "Why it has no share yet, and what would start now", MakeExplain},
    {"desktop", "ask", "Ask for another share while it has none", MakeAsk},
    {"desktop", "delete", "Delete it; its home only with --delete-home", MakeDelete},
    {"desktop", "log", "What its start and its end said", MakeLog},
    {"desktop", "wait", "Return when it is ready, stopped or deleted", MakeWait},
    {"desktop", "message", "Show a message to its user (operators)", MakeMessage},
};

}  // namespace

std::span<const Verb> DesktopVerbs() {
  return kVerbs;
}

}  // namespace sluice::cli
