// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "portal/audit.h"
#include "portal/internal/json_writer.h"

namespace sluice::portal {

void WriteAuditRow(JsonWriter& json, const AuditRow& row);

// The line of column names, and one row, in RFC 4180's form. Text that a spreadsheet would take for
// a formula (=, +, -, @, tab, return first) gets a ' in front.
std::string AuditCsvHead();
void AppendAuditCsv(std::string& text, const AuditRow& row);

}  // namespace sluice::portal
