// SPDX-License-Identifier: Apache-2.0
#include "portal/internal/audit_view.h"

namespace sluice::portal {
namespace {

void AppendCell(std::string& text, std::string_view value) {
  constexpr std::string_view kFormulaStarts = "=+-@\t\r\n|%";
  text += '"';
  if (!value.empty() && kFormulaStarts.find(value.front()) != std::string_view::npos) text += '\'';
  for (const char c : value) {
    if (c == '"') text += '"';
    text += c;
  }
  text += '"';
}

}  // namespace

void WriteAuditRow(JsonWriter& json, const AuditRow& row) {
  json.BeginObject()
      .Field("seq", row.seq)
      .Key("at")
      .Time(row.at)
      .Field("actor", row.actor)
      .Field("on_behalf_of", row.on_behalf_of)
      .Field("action", row.action)
      .Field("target", row.target)
      .Field("outcome", row.outcome)
      .Field("detail", row.detail)
      .Field("source", row.source)
      .Field("request_id", row.request_id)
      .Field("hash", row.hash)
      .EndObject();
}

std::string AuditCsvHead() {
  return "seq,at,actor,on_behalf_of,action,target,outcome,detail,source,request_id,hash\r\n";
}

void AppendAuditCsv(std::string& text, const AuditRow& row) {
  text += std::to_string(row.seq);
  text += ',';
  text += ToRfc3339(row.at);
  for (const std::string* value : {&row.actor,
                                   &row.on_behalf_of,
                                   &row.action,
                                   &row.target,
                                   &row.outcome,
                                   &row.detail,
                                   &row.source,
                                   &row.request_id,
                                   &row.hash}) {
    text += ',';
    AppendCell(text, *value);
  }
  text += "\r\n";
}

}  // namespace sluice::portal
