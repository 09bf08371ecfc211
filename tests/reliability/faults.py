"""The faults: id → (what happens, what is expected, the tests that hold it, what was measured or what is not)."""

from __future__ import annotations

from typing import Final

SOURCES, READERS, ISOLATION = "faults/test_sources.py", "faults/test_readers.py", "faults/test_isolation.py"
REASON = f"{SOURCES}::test_a_source_that_fails_shows_its_reason_and_nothing_of_what_it_said"
REJECTED = f"{SOURCES}::test_a_sample_that_cannot_be_is_counted_and_costs_only_itself"
POISON = f"{ISOLATION}::test_one_poisoned_cluster_changes_not_one_byte_of_the_other_forty_nine"
DIFFERENTIAL = "sources/test_differential.py::test_generated_bodies_are_read_as_prometheus_reads_them"
ENERGY = "derive/test_energy.py::test_ten_hours_of_resets_wraps_gaps_duplicates_and_reordered_samples"
KILL = "real/test_kill.py::test_counters_survive_kill_9_at_any_instant"
HOSTILE = "export/test_hostile.py::"
NAMED = "storage/test_disk_trouble.py::test_what_may_not_be_read_or_written_is_named_and_left_as_it_is"

Row = tuple[str, str, tuple[str, ...], str]
FAULTS: Final[dict[str, Row]] = {
    "F1": ("A target refuses", "`connect`; its values age, others stay", (REASON,), ""),
    "F2": ("A target hangs", "`timeout` once; later cycles do not wait; no tasks pile up",
           (f"{ISOLATION}::test_the_others_are_fresh_in_every_cycle_and_wait_for_the_hanging_ones_once",
            "test_runtime.py::test_a_hung_cluster_delays_the_others_once_and_never_again"), "1, 10, 25 of 50 clusters"),
    "F3": ("No answer to SYN", "`connect_timeout` after 3 s at most", ("sources/test_http.py::test_a_black_hole",), ""),
    "F4": ("A body that drips", "the deadline for the whole wins: `timeout`, nothing of it is used", (REASON,), ""),
    "F5": ("Cut or reset in the body", "`truncated`, nothing of it is used", (REASON,), ""),
    "F6": ("Cut within a number", "never the shorter number",
           (f"{SOURCES}::test_an_answer_cut_at_any_byte_never_shows_a_shorter_number",), "60 cuts, 0 wrong values"),
    "F7": ("Redirect", "`redirect`, never followed",
           (REASON, "sources/test_http.py::test_a_redirect_is_not_followed"), ""),
    "F8": ("Status 429, 500, 503", "`http_4xx`, `http_5xx`; one attempt a cycle",
           (REASON, f"{ISOLATION}::test_a_dead_upstream_is_not_asked_more_than_once_a_cycle"),
           "Retry-After is not read: the interval is the pause"),
    "F9": ("A login page with status 200", "`content_type`, or `parse` where it is called text", (REASON,), ""),
    "F10": ("Gzip bomb", "`body_size` at the limit of decompressed bytes",
            (REASON, "sources/test_http.py::test_a_gzip_bomb_costs_no_more_memory_than_the_limit"), ""),
    "F11": ("Thousands of gzip members", "`bad_encoding` at the second", (REASON,), "20,000 members"),
    "F12": ("Encodings not asked for", "`bad_encoding`", (REASON,), ""),
    "F13": ("A header of 1 MB", "`headers`", (REASON,), ""),
    "F14": ("TLS: wrong host, authority, plain HTTP", "`tls`, no way around; a new authority needs no restart",
            (REASON, "sources/test_http.py::test_a_certificate_that_does_not_hold",
             "sources/test_http.py::test_a_new_authority_needs_no_restart"), "expired certificates: not tried"),
    "F15": ("401 after a password changed", "`auth`; the file is read again each time",
            (REASON, "sources/test_http.py::test_basic_auth_reads_its_password_file_each_time"), ""),
    "F16": ("A name that does not resolve", "`dns`", (REASON,), "a change of an address while running: not tried"),
    "F17": ("One bad line at the end", "`parse`, the whole page", (REASON,
            "sources/test_exposition.py::test_one_bad_line_after_many_good_ones_costs_the_page"), ""),
    "F18": ("A series twice", "the first counts, `duplicate` is counted, none is printed twice",
            (REJECTED, "real/test_scraped_by_prometheus.py::test_page_has_no_duplicates"), ""),
    "F19": ("One cluster name twice", "no start; the message names it",
            ("config/test_load.py::test_every_mistake_is_told_at_once_with_its_place",), ""),
    "F20": ("No UTF-8, half a surrogate pair, NUL", "`utf8` costs the series; the page stays good", (REJECTED, POISON,
            "sources/test_prometheus_json.py::test_half_a_surrogate_pair_costs_its_series_only",
            "exposition/test_page.py::test_a_lone_surrogate_cannot_poison_the_page"), ""),
    "F21": ("CR, LF, quotes, backslashes in labels", "escaped, and the same when read again",
            ("exposition/test_page.py::test_any_label_text_comes_back_from_a_parser",), ""),
    "F22": ("NaN or infinite power", "`not_finite`; in no sum, and not 0", (REJECTED,), ""),
    "F23": ("Negative, absurd, or milliwatts", "`negative`, `out_of_bounds`, `sentinel`; in no sum",
            (REJECTED, "normalise/test_engine.py::test_impossible_power_never_reaches_a_sum"),
            "a unit that flips within what is plausible cannot be seen"),
    "F24": ("Series that are gone", "absent, completeness below 1, never 0", (
            "test_fleet_ledger.py::test_a_vendor_that_falls_silent_is_told_by_completeness_and_never_read_as_zero",
            "normalise/test_engine.py::test_a_node_that_went_silent_is_known_and_lost"), ""),
    "F25": ("Partial answer of a store", "used, and told in the log",
            ("sources/test_prometheus.py::test_a_partial_answer_is_used_and_told",), ""),
    "F26": ("An error of the query API", "`query_error`, never an empty answer",
            ("sources/test_prometheus_json.py::test_an_error_of_the_api_is_told",), ""),
    "F27": ("Series explode", "`series_limit`; others stay; memory bounded",
            (f"{ISOLATION}::test_a_cluster_whose_series_explode_is_told_and_costs_the_others_nothing",
             "sources/test_exposition.py::test_an_endpoint_that_changes_all_its_series_cannot_fill_memory"),
            "100,000 series in the suite; once 1,000,000"),
    "F28": ("Long labels, many labels", "`label_limit` costs the series", (REJECTED,), ""),
    "F29": ("A renamed metric", "`kcloud-exporter vendors` names what no table knows",
            ("vendors/test_coverage.py",), "no metric of its own says so while running"),
    "F30": ("What lenient parsers take", "what Prometheus refuses is refused", (
            "sources/test_like_prometheus.py::test_the_same_pages_are_accepted", DIFFERENTIAL),
            "2,000 generated bodies, 0 read differently (412 accepted)"),
    "F31": ("JSON made to hurt", "`parse`", ("fuzz/test_readers.py::test_answers_that_are_made_to_hurt",), ""),
    "F32": ("Counter reset upstream", "never negative, never twice", (ENERGY,), ""),
    "F33": ("Counter wrap or step back", "no power that cycle unless the maximum is known",
            (ENERGY, "normalise/test_engine.py::test_a_wrap_is_no_power_and_no_negative_power"), ""),
    "F34": ("The same watts from two meters", "one owner per watt; PUE below 1 is withheld", (
            "vendors/test_duplication.py::test_adding_rows_up_is_wrong_by_a_known_factor_and_the_books_are_right",),
            ""),
    "F35": ("A cluster's clock is wrong", "our own time counts", (
            "normalise/test_engine.py::test_samples_that_lag_the_newest_are_stale_whatever_the_upstreams_clock_says",),
            "skew has no metric of its own"),
    "F36": ("The same sample for ever", "stale after max_staleness",
            ("normalise/test_engine.py::test_an_upstream_whose_clock_stands_still_goes_stale",), ""),
    "F37": ("Our clock is set", "energy follows a clock that nobody sets", (
            "storage/test_books.py::test_whatever_happens_no_second_is_counted_twice_and_none_is_lost_unless_it_is_told",),
            ""),
    "F38": ("Suspended for an hour", "the gap is told and not filled",
            ("derive/test_energy.py::test_a_gap_is_told_and_not_filled",), "SIGSTOP of the exporter itself: not tried"),
    "F39": ("Days of 23 and 25 hours", "costs are those of the real hours",
            ("derive/test_tariff_days.py::test_cost_by_cycle_is_cost_by_minute_on_the_days_around_a_change",), ""),
    "F40": ("Times out of range", "refused", (
            "sources/test_numbers.py::test_timestamps_of_the_text_format_are_whole_milliseconds",
            "api/test_asking.py::test_times_are_read_with_their_zone"), ""),
    "F41": ("The upstream scrapes less often", "held for max_staleness", (
            "normalise/test_engine.py::test_a_hole_keeps_the_last_value_until_it_is_stale",), "a reload of a real "
            "Prometheus from 15 s to 60 s: not tried"),
    "F42": ("kill -9", "no counter falls; at most one interval is lost", (
            KILL, "storage/test_counters.py::test_kill_at_any_instant_loses_nothing_that_was_acknowledged"), ""),
    "F43": ("Torn or flipped write-ahead log", "found, told, a consistent state",
            ("storage/test_damage.py::test_a_log_that_ends_too_early_is_noticed_and_the_backup_is_the_least_that_remains",
             "storage/test_damage.py::test_a_flipped_bit_never_gives_a_silent_wrong_value"), ""),
    "F44": ("The store is damaged, empty or gone", "set aside, the backup takes its place, told",
            ("storage/test_damage.py::test_a_file_that_is_empty_gone_or_garbage",
             "test_persistence.py::test_damage_found_at_the_start_is_counted_and_told"), ""),
    "F45": ("Disk full", "cycles go on in memory; everything is written when there is room", (
            "storage/test_disk_trouble.py::"
            "test_a_full_disk_fails_the_write_and_the_next_one_that_succeeds_holds_everything",), ""),
    "F46": ("Read-only disk, wrong owner", "named at the start; at run time as a full disk", (NAMED,
            "storage/test_disk_trouble.py::test_a_read_only_disk_is_no_damage_either_and_is_got_over"), ""),
    "F47": ("Two processes on one store", "the second is refused", (
            "test_persistence.py::test_a_second_program_on_the_same_folder_is_refused_and_the_first_goes_on",), ""),
    "F48": ("Upgrade and downgrade", "an older file is taken over, a newer one left alone", (
            "storage/test_counters.py::test_a_file_of_schema_1_is_taken_over_with_every_counter",
            "storage/test_counters.py::test_a_newer_schema_is_left_alone"), ""),
    "F49": ("kill -9 while history is merged", "every row that was written is whole", (
            "history/test_files.py::"
            "test_after_kill_9_in_the_middle_of_writing_and_merging_every_row_that_was_written_is_whole",), ""),
    "F50": ("A cluster is removed and comes back", "off the page; its counters continue", (
            "test_runtime.py::test_a_removed_cluster_leaves_the_page_and_a_new_one_continues_its_counters",), ""),
    "F51": ("A bad configuration at reload", "the old one goes on, the gauge is 0",
            ("test_runtime.py::test_a_bad_configuration_leaves_the_old_one_running",
             "real/test_reload.py::test_sighup"), ""),
    "F52": ("Clusters in another order", "the same ledger", (
            "recording/test_what_if.py::test_targets_and_sources_may_stand_in_another_order",),
            "a new name is a new identity"),
    "F53": ("Half-sent requests", "closed after 5 s, drips too; others are served",
            (f"{READERS}::test_half_open_and_dripping_clients_go_and_a_good_one_is_served_all_the_while",),
            "200 dripping and 100 idle, all closed"),
    "F54": ("Stalled readers of /metrics", "eight at once, then 503; cut off after 10 s", (
            "web/test_protection.py::test_readers_that_stall_are_cut_off_and_others_are_served",), ""),
    "F55": ("A stream's reader stalls", "cut off; the others lose nothing",
            ("stream/test_sse.py::test_a_stalled_reader_is_cut_off_and_fifty_others_get_everything",), ""),
    "F56": ("Too many connections", "503 beyond the limit", (
            "web/test_protection.py::test_connections_are_counted",), "10,000 connections: not tried; rejected ones "
            "are not counted by a metric"),
    "F57": ("An export that is too large", "refused before any work",
            ("export/test_files.py::test_too_many_rows_for_a_format",),
            "10 M rows: 198 MiB as Parquet, 167 MiB as CSV, by `kcloud-exporter bench exports`"),
    "F58": ("Many exports at once", "two at a time, four wait, then 429", (
            "export/test_desk.py::"
            "test_who_comes_when_all_places_are_taken_is_sent_away_and_who_waits_gets_a_turn",
            "export/test_running.py::test_cycles_go_on_while_files_are_made"), ""),
    "F59": ("Formulas in names", "text, in CSV and in sheets",
            (HOSTILE + "test_no_cell_of_a_csv_begins_like_a_formula_and_every_name_can_be_told",
             HOSTILE + "test_a_sheet_holds_text_and_numbers_and_not_one_formula",
             "export/test_many_hostile.py::test_csv_and_sheets_hold_no_formula"), "5,000 sets of labels"),
    "F60": ("Control characters in sheets", "made safe", (HOSTILE + "test_any_text_is_safe_in_every_form",), ""),
    "F61": ("Markup in PDF", "text, never markup",
            (HOSTILE + "test_a_pdf_holds_the_names_as_text_and_nothing_of_them_as_markup",), ""),
    "F62": ("PromQL in parameters", "no word of a client changes a query", (
            "security/test_injection.py::test_no_word_of_a_client_changes_a_query",
            "history/test_prometheus.py::test_whatever_a_client_says_stays_inside_the_quotes_of_its_label"),
            "91 payloads in turn; once each in every parameter: no query changed, no 5xx"),
    "F63": ("A client would like us to call", "no URL of a client is used; only targets are called", (
            "security/test_egress.py::test_only_what_is_configured_is_called",
            "security/test_injection.py::test_no_word_of_a_client_changes_a_query"), ""),
    "F64": ("Paths that lead out", "404", (
            "security/test_routes.py::test_no_path_leads_out_of_what_is_served",
            "stream/test_page.py::test_nothing_but_the_files_is_served"), ""),
    "F65": ("Header injection", "file names are ours",
            ("export/test_many_hostile.py::test_pdfs_hold_every_row_and_nothing_that_acts",), ""),
    "F66": ("Pages of other origins", "403 before the stream begins; no CORS",
            ("stream/test_websocket.py::test_no_page_of_another_origin",
             "stream/test_sse.py::test_pages_of_other_origins_are_refused"), ""),
    "F67": ("A flood of passwords", "one bcrypt at a time off the loop; who is known does not wait; 429",
            ("web/test_auth.py::test_guesses_do_not_keep_out_who_has_a_password",
             "web/test_auth.py::test_who_says_nothing_takes_no_place_in_line",
             "web/test_tokens.py::test_an_address_that_guesses_is_made_to_wait_and_nobody_else"), ""),
    "F68": ("A password of more than 72 bytes", "401", ("web/test_auth.py::test_every_route_wants_credentials",), ""),
    "F69": ("Guessing names by time", "an unknown name costs one bcrypt, too",
            ("web/test_auth.py::test_every_route_wants_credentials",), "not measured: no test of two distributions"),
    "F70": ("Secrets in what is printed", "nowhere: pages, API, log, errors, files, recordings", (
            "security/test_secrets.py::test_no_secret_is_ever_printed",
            "security/test_secrets.py::test_a_configuration_that_is_wrong_is_told_without_its_secrets",
            "recording/test_secrets.py::test_canaries_are_nowhere_in_the_file"),
            "11 canaries, 0 found; `ps` not looked at"),
    "F71": ("Regular expressions of clients", "none is taken",
            ("explain/test_every_number.py::test_what_cannot_be_explained_is_told",), ""),
    "F72": ("Labels by path", "routes are named by their template",
            ("security/test_routes.py::test_a_hundred_addresses_that_do_not_exist_make_one_series",), ""),
    "F73": ("Work on the event loop", "CPU is spent elsewhere",
            (f"{ISOLATION}::test_the_event_loop_turns_while_a_large_page_is_read",), "no metric of the lag"),
    "F74": ("A defect in the background", "that cluster's cycle; told; the next one comes",
            ("test_runtime.py::test_a_defect_in_one_cluster_costs_no_other_its_cycle",), ""),
    "F75": ("SIGTERM at work", "exit 0 in time",
            ("real/test_reload.py::test_sigterm_ends_it_at_once_and_cleanly",), "during an export: not tried"),
    "F76": ("Out of memory", "as kill -9", (KILL,), "the kernel's own killer: not tried"),
    "F77": ("Two that run side by side", "", (), "not tested: two equal exporters tell the same within their phase"),
}  # fmt: skip
