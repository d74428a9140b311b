// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "portal/internal/desktop_rules.h"
#include "portal/internal/handlers.h"
#include "portal/internal/request_fields.h"
#include "portal/internal/view.h"

namespace sluice::portal {
namespace {

constexpr int64_t kMemoryMax = int64_t{1} << 50;

std::string_view AnswerWord(const control::Offer& offer) {
  if (offer.never) return "never";
  if (offer.over_quota) return "over quota";
  return offer.fits_now > 0 ? "starts now" : "waits";
}

}  // namespace

Answer ListTemplates(App& app, const Call& call) {
  const auto page = QueryPage(call.request);
  if (!page) return tl::unexpected(page.error());
  const auto templates = Templates(app);
  if (!templates) return No(templates.error());
  ListWriter list;
  size_t count = 0;
  std::string last;
  std::string next;
  for (const auto& [value, version] : *templates) {
    if (value.id.text() <= page->after) continue;
    if (count++ == page->limit) {
      next = CursorFor(last);
      break;
    }
    const auto missing = MissingPrograms(value);
    JsonWriter& json = list.json();
    json.BeginObject()
        .Field("id", value.id.text())
        .Field("resource_version", version)
        .Field("name", value.name)
        .Field("summary", value.summary)
        .Field("default_memory_bytes", value.default_memory.value())
        .Field("default_idle_stop_s", value.default_idle_stop.count() / 1'000)
        .Field("available", missing.empty());
    json.Key("missing").BeginArray();
    for (const HostProgram& program : missing) {
      json.BeginObject()
          .Field("program", program.name)
          .Field("install", program.install)
          .EndObject();
    }
    json.EndArray().EndObject();
    last = value.id.text();
  }
  return list.Finish(app.store.Version(), next);
}

Answer ListOffers(App& app, const Call& call) {
  const auto memory = QueryInt(call.request, "memory_bytes", {1, kMemoryMax}, 0);
  if (!memory) return tl::unexpected(memory.error());
  if (*memory == 0) {
    return NoField(ProblemCode::kBadRequest, "?memory_bytes", "memory_bytes is missing.");
  }
  ListWriter list;
  const control::OfferQuestion question{Bytes(*memory), call.caller.user.team};
  for (const control::Offer& offer : app.control.Offers(question)) {
    list.json()
        .BeginObject()
        .Field("gpu_model", offer.gpu_model)
        .Field("simulated", offer.simulated)
        .Field("cards", offer.cards)
        .Field("fits_now", offer.fits_now)
        .Field("largest_now_bytes", offer.largest_now.value())
        .Field("largest_ever_bytes", offer.largest_ever.value())
        .Field("answer", AnswerWord(offer))
        .Field("detail", offer.answer);
    WriteStartRange(list.json(), offer.start);
    list.json().EndObject();
  }
  const Pool pool = SharedPool(app);
  list.EndItems()
      .Field("share_min_bytes", pool.share_memory_min.value())
      .Field("share_step_bytes", pool.share_memory_step.value());
  return list.Finish(app.store.Version());
}

}  // namespace sluice::portal
