# SPDX-License-Identifier: Apache-2.0
"""Turns openapi.yaml (first argument) into a C++ source (second) that holds it as JSON."""
import json
import sys

import yaml

with open(sys.argv[1], encoding="utf-8") as source:
    document = yaml.safe_load(source)
text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
pieces = "\n".join(f'    R"openapi({text[i:i + 8000]})openapi"' for i in range(0, len(text), 8000))
with open(sys.argv[2], "w", encoding="utf-8") as out:
    out.write('#include "portal/internal/openapi_json.h"\n\nnamespace sluice::portal {\n\n'
              f"const std::string_view kOpenApiJson =\n{pieces};\n\n}}  // namespace sluice::portal\n")
