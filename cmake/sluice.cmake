# SPDX-License-Identifier: Apache-2.0
# One function per kind of thing, so that a folder's CMakeLists.txt is a table of what it holds.

# sluice_library(NAME sources… [LINK targets…]): a static library of one folder.
function(sluice_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK;PRIVATE" ${ARGN})
  add_library(sluice_${name} STATIC ${ARG_SOURCES})
  target_include_directories(sluice_${name} PUBLIC ${PROJECT_SOURCE_DIR})
  target_link_libraries(sluice_${name} PUBLIC sluice_flags ${ARG_LINK} PRIVATE ${ARG_PRIVATE})
endfunction()

# sluice_test(NAME LABEL label SOURCES… LINK…): a GoogleTest program, one CTest entry, one label of
# docs/testing.md. ENV passes VAR=value pairs.
function(sluice_test name)
  cmake_parse_arguments(ARG "" "LABEL;TIMEOUT" "SOURCES;LINK;ENV;DEPENDS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  if(SLUICE_SANITIZE)
    math(EXPR ARG_TIMEOUT "${ARG_TIMEOUT} * 5")
  endif()
  add_executable(${name} EXCLUDE_FROM_ALL ${ARG_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_compile_definitions(${name} PRIVATE SLUICE_BUILD_DIR="${PROJECT_BINARY_DIR}")
  target_link_libraries(${name} PRIVATE sluice_flags ${ARG_LINK} GTest::gtest GTest::gmock GTest::gtest_main)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS ${ARG_LABEL} TIMEOUT ${ARG_TIMEOUT}
                       ENVIRONMENT "SLUICE_BUILD_DIR=${PROJECT_BINARY_DIR};${ARG_ENV}")
  add_dependencies(tests_${ARG_LABEL} ${name})
  if(ARG_DEPENDS)
    add_dependencies(${name} ${ARG_DEPENDS})
  endif()
endfunction()

# sluice_bench(NAME SOURCES… LINK…): a benchmark program that prints JSON lines, run by ./dev bench.
function(sluice_bench name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK;DEPENDS" ${ARGN})
  add_executable(bench_${name} EXCLUDE_FROM_ALL ${ARG_SOURCES})
  target_link_libraries(bench_${name} PRIVATE sluice_flags ${ARG_LINK})
  target_include_directories(bench_${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_compile_definitions(bench_${name} PRIVATE SLUICE_BUILD_DIR="${PROJECT_BINARY_DIR}")
  set_target_properties(bench_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bench)
  if(ARG_DEPENDS)
    add_dependencies(bench_${name} ${ARG_DEPENDS})
  endif()
endfunction()

# sluice_fuzzer(NAME SOURCES… LINK… CORPUS dir): a libFuzzer target under the `fuzz` preset (clang);
# under every other preset nothing.
function(sluice_fuzzer name)
  cmake_parse_arguments(ARG "" "CORPUS" "SOURCES;LINK" ${ARGN})
  if(NOT SLUICE_FUZZ)
    return()
  endif()
  add_executable(fuzz_${name} EXCLUDE_FROM_ALL ${ARG_SOURCES})
  target_include_directories(fuzz_${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(fuzz_${name} PRIVATE sluice_flags ${ARG_LINK})
  target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
  set_target_properties(fuzz_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/fuzz)
  file(WRITE ${PROJECT_BINARY_DIR}/fuzz/fuzz_${name}.corpus "${ARG_CORPUS}")
  add_dependencies(fuzzers fuzz_${name})
endfunction()
