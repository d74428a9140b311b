// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>
#include <memory>
#include <vector>

#include "cli/cli.h"
#include "cli/internal/fields.h"
#include "cli/internal/print.h"
#include "cli/internal/verb.h"

namespace sluice::cli {
namespace {

// Prints the JSON, or else what `words` makes of it.
int Print(Context& context,
          const Json& json,
          const std::function<std::string(const Json&)>& words) {
  if (context.json) {
    OutJson(json);
  } else {
    Out(words(json));
  }
  return kOk;
}

// ---- users ----

Action MakeUserList(CLI::App&) {
  return [](Context& context) {
    return Print(context, context.api.All("/v1/users"), [](const Json& users) {
      Table table({"NAME", "DISPLAY NAME", "ROLE", "STATE", "LAST SIGN-IN"});
      for (const Json& user : users) {
        table.Add({Text(user, "name"),
                   Text(user, "display_name"),
                   Text(user, "role"),
                   Flag(user, "disabled") ? "disabled" : "enabled",
                   TimeText(user, "last_sign_in_at")});
      }
      return table.Lines("No users.");
    });
  };
}

struct UserWish {
  std::string name;
  std::string display_name;
  std::string role = "user";
  int desktops_max = 0;
  std::string memory_max;
  std::string team;
};

Action MakeUserAdd(CLI::App& app) {
  auto wish = std::make_shared<UserWish>();
  app.add_option("NAME", wish->name, "Sign-in name: a-z 0-9 . _ -")->required();
  app.add_option("--display-name", wish->display_name, "How people see the user");
  app.add_option("--role", wish->role, "user, operator or admin")
      ->check(CLI::IsMember({"user", "operator", "admin"}))
      ->capture_default_str();
  app.add_option("--desktops-max", wish->desktops_max, "Desktops at once; 0: no limit")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--memory-max", wish->memory_max, "GPU memory at once, for example 24GiB")
      ->check(kMemory);
  app.add_option("--team", wish->team, "Whose part of the cards is used; see: sluice team list");
  return [wish](Context& context) {
    Json body{{"name", wish->name}, {"role", wish->role}};
    if (!wish->team.empty()) body["team_id"] = FindTeam(context.api, wish->team)["id"];
    body["display_name"] = wish->display_name.empty() ? wish->name : wish->display_name;
    if (wish->desktops_max > 0 || !wish->memory_max.empty()) {
      body["quota"]["desktops_max"] = wish->desktops_max;
      body["quota"]["gpu_memory_max_bytes"] =
          wish->memory_max.empty() ? 0 : MemoryBytes(wish->memory_max);
    }
    return Print(context, context.api.Post("/v1/users", body), [](const Json& user) {
      return fmt::format("{} is added. One-time password, shown only now: {}\n",
                         Text(user, "name"),
                         Text(user, "one_time_password"));
    });
  };
}

Action OnUser(CLI::App& app, std::function<int(Context&, const Json&)> what) {
  auto name = std::make_shared<std::string>();
  app.add_option("NAME", *name, "Sign-in name or id")->required();
  return [name, what = std::move(what)](Context& context) {
    return what(context, FindUser(context.api, *name));
  };
}

int ChangeUser(Context& context, const Json& user, const Json& change) {
  return Print(context, context.api.Change(PathOf("users", user), change), [](const Json& changed) {
    return fmt::format("{}: {}, {}\n",
                       Text(changed, "name"),
                       Text(changed, "role"),
                       Flag(changed, "disabled") ? "disabled" : "enabled");
  });
}

Action MakeUserDisable(CLI::App& app) {
  return OnUser(app, [](Context& context, const Json& user) {
    return ChangeUser(context, user, {{"disabled", true}});
  });
}

Action MakeUserEnable(CLI::App& app) {
  return OnUser(app, [](Context& context, const Json& user) {
    return ChangeUser(context, user, {{"disabled", false}});
  });
}

Action MakeUserRole(CLI::App& app) {
  auto role = std::make_shared<std::string>();
  Action action = OnUser(app, [role](Context& context, const Json& user) {
    return ChangeUser(context, user, {{"role", *role}});
  });
  app.add_option("ROLE", *role, "user, operator or admin")
      ->required()
      ->check(CLI::IsMember({"user", "operator", "admin"}));
  return action;
}

Action MakeUserTeam(CLI::App& app) {
  auto team = std::make_shared<std::string>();
  Action action = OnUser(app, [team](Context& context, const Json& user) {
    const Json id = *team == "none" ? Json() : FindTeam(context.api, *team)["id"];
    return ChangeUser(context, user, {{"team_id", id}});
  });
  app.add_option("TEAM", *team, "Name or id of the team, or none; it holds from the next start")
      ->required();
  return action;
}

Action MakeUserReset(CLI::App& app) {
  return OnUser(app, [](Context& context, const Json& user) {
    const std::string name = Text(user, "name");
    return Print(context,
                 context.api.Post(PathOf("users", user) + "/reset-password", nullptr),
                 [&](const Json& answer) {
                   return fmt::format("One-time password of {}, shown only now: {}\n",
                                      name,
                                      Text(answer, "one_time_password"));
                 });
  });
}

Action MakeUserDelete(CLI::App& app) {
  return OnUser(app, [](Context& context, const Json& user) {
    context.api.Remove(PathOf("users", user));
    if (!context.json) Out(Text(user, "name") + " is deleted\n");
    return kOk;
  });
}

// ---- tokens ----

struct TokenWish {
  std::string name;
  std::vector<std::string> scopes{"desktops:read", "gpus:read"};
  std::string expires = "30d";
};

Action MakeTokenCreate(CLI::App& app) {
  auto wish = std::make_shared<TokenWish>();
  app.add_option("NAME", wish->name, "What it is for")->required();
  app.add_option("--scope", wish->scopes, "What it may do; may be repeated")
      ->check(CLI::IsMember({"desktops:read", "desktops:write", "gpus:read", "admin"}))
      ->capture_default_str();
  app.add_option("--expires", wish->expires, "For example 30d")
      ->check(kTimeSpan)
      ->capture_default_str();
  return [wish](Context& context) {
    const Json body{
        {"name", wish->name}, {"scopes", wish->scopes}, {"expires_in_s", Seconds(wish->expires)}};
    return Print(context, context.api.Post("/v1/me/tokens", body), [](const Json& token) {
      return fmt::format("{}\n", Text(token, "token"));
    });
  };
}

Action MakeTokenList(CLI::App&) {
  return [](Context& context) {
    return Print(context, context.api.All("/v1/me/tokens"), [](const Json& tokens) {
      Table table({"ID", "NAME", "SCOPES", "EXPIRES", "LAST USED"});
      for (const Json& token : tokens) {
        std::string scopes;
        for (const Json& scope : Array(token, "scopes")) {
          scopes += (scopes.empty() ? "" : " ") + Safe(scope.get<std::string>());
        }
        table.Add({Text(token, "id"),
                   Text(token, "name"),
                   scopes,
                   TimeText(token, "expires_at"),
                   TimeText(token, "last_used_at")});
      }
      return table.Lines("No tokens. Make one with: sluice token create NAME");
    });
  };
}

Action MakeTokenRevoke(CLI::App& app) {
  auto id = std::make_shared<std::string>();
  app.add_option("ID", *id, "See: sluice token list")->required();
  return [id](Context& context) {
    const Json answer = context.api.Delete("/v1/me/tokens/" + Encoded(*id), "");
    if (!context.json) Out("revoked\n");
    return kOk;
  };
}

// ---- queue, templates, audit ----

// The range in which it is likely to start, or else when the next one is due to end.
std::string StartText(const Json& item) {
  const auto start = item.find("start");
  if (start == item.end() || !start->is_object()) return TimeText(item, "next_likely_at");
  const std::string latest = TimeText(*start, "latest_at");
  return fmt::format("{} to {}",
                     TimeText(*start, "earliest_at"),
                     (*start)["latest_at"].is_null() ? "unknown" : latest);
}

Action MakeQueueList(CLI::App&) {
  return [](Context& context) {
    return Print(context, context.api.All("/v1/queue"), [](const Json& queue) {
      Table table(
          {"POSITION", "CLAIM", "OWNER", "FOR", "MEMORY", "SINCE", "LIKELY START", "REASON"});
      for (const Json& item : queue) {
        const std::string run = Text(item, "run_command");
        table.Add({std::to_string(Number(item, "position")),
                   Text(item, "claim_id"),
                   Text(item, "owner"),
                   run.empty() ? Text(item, "desktop_id") : run,
                   BytesText(item, "memory_bytes"),
                   TimeText(item, "queued_since"),
                   StartText(item),
                   Text(item, "reason")});
      }
      return table.Lines("Nobody waits.");
    });
  };
}

Action MakeQueueLeave(CLI::App& app) {
  auto id = std::make_shared<std::string>();
  app.add_option("CLAIM", *id, "See: sluice queue list")->required();
  return [id](Context& context) {
    const Json answer = context.api.Delete("/v1/queue/" + Encoded(*id), "");
    if (!context.json) Out("left the queue\n");
    return kOk;
  };
}

Action MakeTemplateList(CLI::App&) {
  return [](Context& context) {
    return Print(context, context.api.All("/v1/templates"), [](const Json& templates) {
      Table table({"ID", "NAME", "MEMORY", "STATE", "SUMMARY"});
      for (const Json& one : templates) {
        std::string state = "ready";
        for (const Json& missing : Array(one, "missing")) {
          state = state == "ready" ? "needs: " : state + "; ";
          state += Text(missing, "install");
        }
        table.Add({Text(one, "id"),
                   Text(one, "name"),
                   BytesText(one, "default_memory_bytes"),
                   state,
                   Text(one, "summary")});
      }
      return table.Lines("No templates.");
    });
  };
}

struct AuditWish {
  std::string actor, action, target, outcome, since, until, text;
  int limit = 50;
  std::string format = "jsonl";

  std::string Query() const {
    std::string query;
    for (const auto& [name, value] : {std::pair<const char*, const std::string&>{"actor", actor},
                                      {"action", action},
                                      {"target", target},
                                      {"outcome", outcome},
                                      {"since", since},
                                      {"until", until},
                                      {"q", text}}) {
      if (!value.empty()) query += fmt::format("&{}={}", name, Encoded(value));
    }
    return query;
  }
};

std::shared_ptr<AuditWish> AuditFilter(CLI::App& app) {
  auto wish = std::make_shared<AuditWish>();
  app.add_option("--actor", wish->actor, "Who did it");
  app.add_option("--action", wish->action, "For example desktop.create");
  app.add_option("--target", wish->target, "Id of the object");
  app.add_option("--outcome", wish->outcome, "ok or refused");
  app.add_option("--since", wish->since, "2026-11-22T18:00:00Z");
  app.add_option("--until", wish->until, "2026-11-22T18:00:00Z");
  app.add_option("--text", wish->text, "Anywhere in the row");
  return wish;
}

Action MakeAuditList(CLI::App& app) {
  auto wish = AuditFilter(app);
  app.add_option("--limit", wish->limit, "At most so many rows")
      ->check(CLI::Range(1, 200))
      ->capture_default_str();
  return [wish](Context& context) {
    const Json page =
        context.api.Get(fmt::format("/v1/audit-events?limit={}{}", wish->limit, wish->Query()));
    return Print(context, Array(page, "items"), [](const Json& rows) {
      Table table({"SEQ", "AT", "ACTOR", "ACTION", "TARGET", "OUTCOME", "DETAIL"});
      for (const Json& row : rows) {
        table.Add({std::to_string(Number(row, "seq")),
                   TimeText(row, "at"),
                   Text(row, "actor"),
                   Text(row, "action"),
                   Text(row, "target"),
                   Text(row, "outcome"),
                   Text(row, "detail")});
      }
      return table.Lines("No rows.");
    });
  };
}

Action MakeAuditExport(CLI::App& app) {
  auto wish = AuditFilter(app);
  app.add_option("--format", wish->format, "jsonl or csv")
      ->check(CLI::IsMember({"jsonl", "csv"}))
      ->capture_default_str();
  return [wish](Context& context) {
    Out(context.api.GetText(
        fmt::format("/v1/audit-events/export?format={}{}", wish->format, wish->Query())));
    return kOk;
  };
}

Action MakeAuditVerify(CLI::App&) {
  return [](Context& context) {
    const Json answer = context.api.Get("/v1/audit-events/integrity");
    Print(context, answer, [](const Json& json) {
      return fmt::format("{} ({} rows)\n", Text(json, "detail"), Number(json, "checked"));
    });
    return Flag(answer, "ok") ? kOk : kError;
  };
}

constexpr Verb kVerbs[] = {
    {"template",
     "list",
     "What desktops are made from, and what is missing on the host",
     MakeTemplateList},
    {"queue", "list", "Who waits, for what and why", MakeQueueList},
    {"queue", "leave", "Take a claim out of the queue", MakeQueueLeave},
    {"user", "list", "The people", MakeUserList},
    {"user", "add", "Add somebody; prints a one-time password", MakeUserAdd},
    {"user", "disable", "Nobody can sign in as this user any more", MakeUserDisable},
    {"user", "enable", "Undo disable", MakeUserEnable},
    {"user", "role", "Make somebody a user, an operator or an admin", MakeUserRole},
    {"user", "team", "Put somebody into a team", MakeUserTeam},
    {"user", "reset", "New one-time password", MakeUserReset},
    {"user", "delete", "Delete a user", MakeUserDelete},
    {"token", "create", "Make a token for programs; it is printed once", MakeTokenCreate},
    {"token", "list", "Your tokens", MakeTokenList},
    {"token", "revoke", "End a token", MakeTokenRevoke},
    {"audit", "list", "What was done, newest first", MakeAuditList},
    {"audit", "export", "The audit log as JSON lines or CSV", MakeAuditExport},
    {"audit",
     "verify",
     "Check the chain of hashes; exit code 1 when it is broken",
     MakeAuditVerify},
};

}  // namespace

std::span<const Verb> AdminVerbs() {
  return kVerbs;
}

}  // namespace sluice::cli
