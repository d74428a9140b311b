// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "portal/internal/app.h"

// The handlers of the route table (routes.cc), by file. Each turns a call into an answer and
// nothing else: no sockets, no threads.
namespace sluice::portal {

// handlers_account.cc
Answer SignIn(App& app, const Call& call);
Answer SignOut(App& app, const Call& call);
Answer SignOutEverywhere(App& app, const Call& call);
Answer GetMe(App& app, const Call& call);
Answer UpdateMe(App& app, const Call& call);
Answer ListTokens(App& app, const Call& call);
Answer CreateToken(App& app, const Call& call);
Answer DeleteToken(App& app, const Call& call);

// handlers_offers.cc
Answer ListTemplates(App& app, const Call& call);
Answer ListOffers(App& app, const Call& call);

// handlers_desktops.cc
Answer ListDesktops(App& app, const Call& call);
Answer GetDesktop(App& app, const Call& call);
Answer ListDesktopProcesses(App& app, const Call& call);
Answer GetDesktopLog(App& app, const Call& call);
Answer CreateTicket(App& app, const Call& call);

// handlers_desktop_changes.cc
Answer CreateDesktop(App& app, const Call& call);
Answer UpdateDesktop(App& app, const Call& call);
Answer DeleteDesktop(App& app, const Call& call);
Answer RestartDesktop(App& app, const Call& call);
Answer ExtendDesktop(App& app, const Call& call);
Answer ResizeDesktop(App& app, const Call& call);
Answer KeepDesktopAlive(App& app, const Call& call);
Answer MessageDesktop(App& app, const Call& call);
Answer StopDesktop(App& app, const Call& call);

// handlers_explain.cc
Answer ExplainDesktop(App& app, const Call& call);
Answer AskInstead(App& app, const Call& call);

// handlers_gpus.cc
Answer ListGpus(App& app, const Call& call);
Answer GetGpu(App& app, const Call& call);
Answer UpdateGpu(App& app, const Call& call);
Answer ListQueue(App& app, const Call& call);
Answer LeaveQueue(App& app, const Call& call);

// handlers_pools.cc
Answer ListPools(App& app, const Call& call);
Answer GetPool(App& app, const Call& call);
Answer UpdatePool(App& app, const Call& call);
Answer TryPool(App& app, const Call& call);

// handlers_plan.cc
Answer GetPlan(App& app, const Call& call);

// handlers_runs.cc
Answer CreateRun(App& app, const Call& call);
Answer GetRun(App& app, const Call& call);
Answer StartRun(App& app, const Call& call);
Answer DeleteRun(App& app, const Call& call);

// handlers_teams.cc
Answer ListTeams(App& app, const Call& call);
Answer CreateTeam(App& app, const Call& call);
Answer GetTeam(App& app, const Call& call);
Answer UpdateTeam(App& app, const Call& call);
Answer DeleteTeam(App& app, const Call& call);

// handlers_reservations.cc
Answer ListReservations(App& app, const Call& call);
Answer CreateReservation(App& app, const Call& call);
Answer GetReservation(App& app, const Call& call);
Answer TryReservation(App& app, const Call& call);
Answer DeleteReservation(App& app, const Call& call);

// handlers_consolidation.cc
Answer ConsolidatePool(App& app, const Call& call);
Answer UndoConsolidation(App& app, const Call& call);
Answer GetConsolidation(App& app, const Call& call);

// handlers_users.cc
Answer ListUsers(App& app, const Call& call);
Answer CreateUser(App& app, const Call& call);
Answer GetUser(App& app, const Call& call);
Answer UpdateUser(App& app, const Call& call);
Answer DeleteUser(App& app, const Call& call);
Answer ResetPassword(App& app, const Call& call);

// handlers_audit.cc
Answer ListAuditEvents(App& app, const Call& call);
Answer ExportAuditEvents(App& app, const Call& call);
Answer CheckAuditIntegrity(App& app, const Call& call);

// handlers_system.cc
Answer GetHealth(App& app, const Call& call);
Answer GetReadiness(App& app, const Call& call);
Answer GetMetrics(App& app, const Call& call);
Answer GetOpenApi(App& app, const Call& call);

}  // namespace sluice::portal
