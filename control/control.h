// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/agent.h"
#include "base/clock.h"
#include "base/random.h"
#include "base/result.h"
#include "model/claim.h"
#include "model/desktop.h"
#include "model/pool.h"
#include "model/reservation.h"
#include "runtime/runtime.h"
#include "store/store.h"

// The reconcilers: they compare what is wished (rows of the store) with what is, and take one next
// step at a time. Every step is safe to repeat; a process killed between any two of them goes on
// from the rows.
//
// Who writes which row (always with the version that was read):
//   Desktop  The portal creates it (state queued, a reason, no claim) and changes `desired`,
//            `restart_generation`, `name`, `idle`, `run_for`, `keyboard_layout`, `keep_home` and
//            `message`. Control changes the rest, sets `desired` to stopped when it ends a desktop
//            by itself (idle, end of its time, failure), and deletes the row at the end. A failed
//            desktop is tried again when `desired` becomes running or the generation is raised.
//   Claim    Control makes the desktops' claims. The portal makes a run's (phase pending, run_pid
//            and run_pid_start set); it then moves only through control: StartRun and Release. What
//            a pending claim asks for is changed by the portal, as AskInstead gives it and together
//            with its desktop's row.
//   Gpu      Control. The portal changes `mode` between shared and cordoned. `last_seen` is written
//            once a minute; `health` is what says that a card is stale.
namespace sluice::control {

// Who acts, for the audit log: written with every wish.
struct Actor {
  std::string name;        // "lina", or "control".
  std::string source;      // Remote address, "unix", "reconciler".
  std::string request_id;  // Empty for the reconcilers.
};

// One row to be appended to the audit log in the same transaction as the change it tells of.
struct AuditNote {
  std::string action;   // "desktop.create".
  std::string target;   // Object id.
  std::string outcome;  // "ok", "refused".
  std::string detail;   // A sentence.
};

// Appends hash-chained rows; implemented by portal/audit, injected here. Thread-safe.
class AuditSink {
 public:
  virtual ~AuditSink() = default;
  virtual void Append(const Actor& actor, const AuditNote& note) = 0;
};

// A viewer count and last input per desktop, reported by the stream relay. Thread-safe.
struct ViewerReport {
  int viewers = 0;
  TimePoint last_input_at;
};

struct Options {
  NodeId node;                      // The machine's name, for cards whose agent names none.
  Duration tick{250};               // Longest time between two looks at the world.
  Duration stop_grace{5'000};       // From "asked to end" to "killed".
  Duration start_deadline{60'000};  // Display and first frame by then, or failed.
  int usual_samples = 20;           // Launches that the "usual time" is the median of.
};

// When something that waits is likely to start, from how long such claims have run: one in ten
// earlier, half by `likely`, nine in ten by `latest`. nullopt: not known.
struct StartRange {
  std::optional<TimePoint> earliest;
  std::optional<TimePoint> likely;
  std::optional<TimePoint> latest;
};

// What the portal shows of a desktop's place in the queue.
struct QueuePlace {
  int position = 0;  // 1 is next.
  int waiting = 0;
  std::string reason;
  std::string summary;      // Of all cards, see Explained; may be a few seconds old.
  bool over_quota = false;  // It waits for its own team, not for cards.
  std::optional<TimePoint> next_likely;
  StartRange start;
};

// Of whom and for how much an offer is asked.
struct OfferQuestion {
  Bytes memory;
  TeamId team;  // Empty: none.
};

// An offer for the form: what would happen if this share were asked for now.
struct Offer {
  std::string gpu_model;
  bool simulated = false;
  Bytes largest_now;   // Largest share that starts now.
  Bytes largest_ever;  // Largest that this model could ever give.
  int cards = 0;
  int fits_now = 0;    // How many more shares of the asked size start now.
  std::string answer;  // "starts now", or the reason with figures.
  bool never = false;
  bool over_quota = false;  // It would wait for its own team, not for cards.
  StartRange start;         // Of one that would wait for cards.
};

// What one card says to a request.
struct CardAnswer {
  GpuId gpu;
  NodeId node;
  int index = 0;
  std::string model;
  bool simulated = false;
  bool fits = false;
  std::string words;  // "too little memory (6 GiB free)", "another model", "free".
};

// Another request, which would be placed now.
struct Substitute {
  ClaimRequest request;
  std::string words;         // What is other: "6 GiB", "on NVIDIA L4".
  bool keeps_place = false;  // See AskInstead.
};

// Whose request is to be explained.
struct ExplainQuestion {
  ClaimRequest request;
  TeamId team;    // Empty: none.
  ClaimId claim;  // That waits with it; empty: it is asked as if it came now.
};

// Why a request is not served now, and what would be.
struct Explained {
  enum class Answer { kNow, kWaits, kOverQuota, kNever };
  Answer answer = Answer::kWaits;
  std::string reason;   // Of the queue; empty for kNow.
  std::string summary;  // "24 cards: 11 too little memory (largest free 6 GiB), 9 another model".
  std::vector<CardAnswer> cards;
  std::vector<Substitute> alternatives;  // The nearest first.
};

// Whether `other` takes no more of anything than `request` does, of the same cards or of more.
bool AsksNoMore(const ClaimRequest& request, const ClaimRequest& other);

// A pending claim that asks for `wish` from now on. It keeps its place in the queue if that asks no
// more; else it counts as having come now, so that nobody is overtaken by a larger wish. Priority
// and named cards stay as they are.
Claim AskInstead(Claim claim, const ClaimRequest& wish, TimePoint now);

// How the cards are chosen now.
struct PlacementState {
  PlacementPolicy in_force = PlacementPolicy::kTightestCard;
  std::string note;   // What it goes by, or why it is another than the pool's; may be empty.
  TimePoint made_at;  // When what it goes by was worked out; zero: it goes by nothing.
};

// What a change of a pool's rules would do to one desktop or run.
struct PoolEffect {
  enum class Kind {
    kStarts,          // It waits, and would start.
    kWaits,           // It would start, and would wait.
    kRefused,         // It would be refused.
    kElsewhere,       // Had all been placed anew, it would be on another card.
    kBelowSmallest,   // Its share is smaller than could be asked for then.
    kOverGuaranteed,  // More is guaranteed on its card than could be then.
    kAboveCeiling,    // Its card carries shares, and is one more than may then. It goes on.
    kBelowFloor,      // It holds a whole card of those that are left to shares then. It goes on.
  };
  Kind kind = Kind::kStarts;
  ClaimId claim;      // Empty: it holds nothing and waits for nothing.
  DesktopId desktop;  // Empty for a run.
  std::string detail;
};
std::string_view ToString(PoolEffect::Kind kind);

struct PoolTrial {
  std::vector<PoolEffect> effects;
  PlacementState placement;  // As it would be.
  // The largest share that would be free on one card, if all that is held now had been placed anew,
  // by the rules as they are and by the changed ones.
  Bytes largest_free_before;
  Bytes largest_free_after;
};

// Desktops that are to go to other cards so that cards become whole.
struct ConsolidationWish {
  PoolId pool;
  int people_max = 1;  // Who may be disturbed.
  bool apply = false;  // False: only say what would be done.
};

struct PlannedMove {
  ClaimId claim;
  DesktopId desktop;
  std::string desktop_name;
  UserId user;
  std::vector<Allocation> from;
  std::vector<Allocation> to;
};

struct ConsolidationPlan {
  std::vector<PlannedMove> moves;
  std::vector<GpuId> freed;  // Cards that become whole.
  int people = 0;            // Who are disturbed.
  Bytes memory;              // Of all shares that move.
  TimePoint at;              // When the desktops are restarted; 0: nobody was told anything.
  int withdrawn = 0;         // Of an undo: moves that had not been made yet and are called off.
  int stay = 0;              // Of an undo: desktops whose former cards have no room any more.
};

// One move of a pool's consolidations as it stands.
struct MoveNow {
  PlannedMove move;
  bool done = false;  // It is on the new cards, and UndoConsolidation() would take it back.
  bool back = false;  // It undoes an earlier one.
  TimePoint at;       // When the desktop is restarted there; 0: done.
};

// Whom control works with. All must outlive it.
struct Partners {
  store::Store& store;
  agent::Agent& agent;
  runtime::Runtime& runtime;
  AuditSink& audit;
  const Clock& clock;
};

// Thread-safe. Owns one logic thread from Start() to destruction.
class Control {
 public:
  static std::unique_ptr<Control> Create(const Partners& partners, const Options& options);
  virtual ~Control() = default;

  virtual void Start() = 0;

  // Takes every step that can be taken now, in the calling thread, until nothing changes: for
  // tests and the simulator, instead of Start(). Returns the number of steps.
  virtual int RunUntilIdle() = 0;

  // Makes the logic thread look at once (the portal calls it after a wish was committed).
  virtual void Nudge() = 0;

  // The relay's report; used for connected/ready and idle stop.
  virtual void ReportViewers(const DesktopId& desktop, const ViewerReport& report) = 0;

  // nullopt when it is not waiting.
  virtual std::optional<QueuePlace> PlaceInQueue(const ClaimId& claim) = 0;

  // Per card model, what such a share would get now.
  virtual std::vector<Offer> Offers(const OfferQuestion& question) = 0;

  // Why the request is not served now, card by card, and what would be placed instead: each
  // alternative has been tried against the queue as it stands. Costs some walks of the queue. Fails
  // with what the store said.
  virtual Result<Explained> Explain(const ExplainQuestion& question) = 0;

  // Of the machine's pool.
  virtual PlacementState Placement() = 0;

  // What the pool as given would change for whoever waits or holds something. Nothing is written.
  // May take seconds when its policy is one that goes by what is expected. Fails with what the
  // store said.
  virtual Result<PoolTrial> TryPool(const Pool& pool) = 0;

  // A run whose claim is reserved starts: makes the share's regions, commits the claim and returns
  // what its processes need. Repeating it gives the same answer. Fails with kNotFound,
  // kFailedPrecondition (not reserved; the message is the claim's reason) or what the agent said.
  virtual Result<agent::PreparedShare> StartRun(const ClaimId& claim, uint32_t tenant_uid) = 0;

  // Ends a run's claim in any phase: it leaves the queue, or its memory is free again. `reason` is
  // kept for whoever asks later. Succeeds when it has ended already. Fails with kNotFound,
  // kFailedPrecondition for a desktop's claim (wish the desktop stopped instead).
  virtual Result<void> Release(const ClaimId& claim, const std::string& reason) = 0;

  // Gives a claim that holds cards the memory, guarantee and cap of `wish` on the same cards, while
  // its programs run; repeating it changes nothing. Fails, and nothing is changed, with kNotFound,
  // kInvalidArgument (it holds nothing, or a whole card), kFailedPrecondition (its programs use
  // more memory than it would be left with) or kResourceExhausted (the card's other shares leave
  // too little); the message has the figure. When the store fails it may be left with the smaller
  // of the two sizes.
  virtual Result<void> Resize(const ClaimId& claim, const ClaimRequest& wish) = 0;

  // Plans which desktops of the pool move where, and with `apply` tells their users: each is
  // restarted on its new cards, with its home as it is, when the pool's notice is over. Fails with
  // kNotFound or what the store said.
  virtual Result<ConsolidationPlan> Consolidate(const ConsolidationWish& wish) = 0;

  // Takes back the pool's last consolidation: what was announced is called off, and who has moved
  // is told that the desktop moves back, as far as there is room. Fails with kNotFound,
  // kFailedPrecondition (nothing of it is left) or what the store said.
  virtual Result<ConsolidationPlan> UndoConsolidation(const PoolId& pool) = 0;

  // The moves that are announced, and those of the last plan that are done, by desktop. Fails with
  // kNotFound or what the store said.
  virtual Result<std::vector<MoveNow>> MovesNow(const PoolId& pool) = 0;

  // How many of the reservation's cards its team could have when it starts, as things stand and if
  // holders end when they are due; it need not be in the store. Fails with what the store said.
  virtual Result<int> RoomFor(const Reservation& reservation) = 0;

  // Median time of each launch stage over the last launches that succeeded; 0: not known yet.
  virtual std::map<LaunchStage, Duration> UsualStageTimes() = 0;
};

}  // namespace sluice::control
