//! cloakroom: a reverse proxy that adds sessions to web apps that have none.
//!
//! A visitor hands in a coat and gets a ticket: the browser holds one opaque cookie, what belongs to the visitor stays
//! here and is passed to the app, request by request, in plain request headers; the app answers with plain response
//! headers when it wants something kept.
//!
//! # Floors
//!
//! A room imports only from lower floors, and never from a neighbour; `tests/it/house.rs` holds that.
//!
//! | floor | rooms | what they are |
//! | --- | --- | --- |
//! | 6 | [`cli`] | one verb a file |
//! | 5 | [`app`] | composition: workers, signals, systemd, logging |
//! | 4 | [`proxy`] [`admin`] | the life of one request: the only place where the wings meet; what the operator is shown |
//! | 3 | [`plan`] | everything compiled from one configuration, immutable |
//! | 2 | [`listen`] [`router`] [`upstream`] [`headers`] [`cookies`] [`session`] | wings; they do not know each other |
//! | 1c | [`store`] | where records are kept: memory, disk; knows no header, no cookie, no policy |
//! | 1b | [`record`] | what is kept of a session, and its ticket |
//! | 1 | [`config`] | from text to values, every mistake with its place |
//! | 0 | [`clock`] [`crypto`] [`message`] [`metrics`] [`net`] [`tasks`] | ground: nothing of ours below |
//!
//! Would a line know its room? It asks the time: [`clock`]. It spawns: [`tasks`]. It parses bytes: [`message`], or a
//! parser in its wing. It decides: a pure file, such as `session::commit`. It awaits the network: [`listen`] or
//! [`upstream`]. It prints: [`cli`]. It picks a status: `proxy::error` or `proxy::admit`; `listen::http1` where there is
//! no request that they could judge.
//!
//! # The life of a request
//!
//! 1. **accept** ([`listen::serve`]): a task for each connection; TLS is begun there ([`listen::Acceptor`]), an idle
//!    connection gives its buffers back.
//! 2. **begin** (`proxy::exchange`): the [`plan::Plan`] is pinned, one timestamp taken.
//! 3. **admit** (`proxy::admit`): ambiguous framing, a bad host, too large: refused before any thought.
//! 4. **route** ([`router::Router::find`]): on the path as an app may read it.
//! 5. **cleanse** ([`headers::HeaderGuard::strip_request`]): names that only cloakroom may write are gone. What another site
//!    made a browser ask for is refused here, where the route says so (`proxy::gate`).
//! 6. **resolve** ([`session::SessionManager::resolve`]): cookie, ticket, record; whatever is forged or dead makes a
//!    stranger, never an error. Then the route's gate: does it require somebody to be logged in? Whoever passes is
//!    shown what is told once ([`session::SessionManager::deliver`]).
//! 7. **dress** (`proxy::request`): hop-by-hop out, forwarding headers in, session headers last; `proxy::cookies`: our
//!    cookie out, the rules of [`cookies::CookieRules`] undone, cookies that the session keeps in. Where the route says
//!    so its prefix is taken off the path ([`router::below`]).
//! 8. **send** ([`upstream::send()`]): balance, a pooled connection, the one safe retry. The conversation itself is
//!    `upstream::http1`: head out, head in, framing that nobody can read in two ways; or, where the upstream says so,
//!    `upstream::http2`.
//! 9. **undress** (`proxy::response`): hop-by-hop out, instructions read and removed, the prefix put back
//!    ([`headers::StrippedPrefix`]); `proxy::cookies`: the app's cookies through their rules, to the browser or to the session.
//! 10. **commit** ([`session::SessionManager::commit`]): before the visitor's first byte. If the visitor goes while
//!     the app works, [`proxy::AbortHandover`] lets steps 8 to 10 go on in a task of their own.
//! 11. **stream** ([`proxy::ResponseBody`]; an event stream looks after itself, `proxy::events`), or **tunnel** after a 101
//!     (`proxy::upgrade`).
//! 12. **finish** (`proxy::exchange`, on drop): the counts and the access log. Always runs.
//!
//! # Threats
//!
//! What sessions, cookies, headers and connections are up against, the rule that answers it, and the test that holds the rule: a name
//! in `tests/it`, or a file with its own. `tests/it/threats.rs` fails when one of them is not there.
//!
//! | threat | rule | tests |
//! | --- | --- | --- |
//! | guessing | 128 random bits and a MAC | `session::a_forged_ticket_gives_a_visitor` `src/record/ticket.rs::every_flipped_bit_is_refused` |
//! | leaked store | it holds hashes of secrets: a copy logs nobody in | `threats::a_copied_store_logs_nobody_in` |
//! | fixation | only cloakroom mints; a renewal by privilege spends the old ticket at once | `session::a_login_renews_the_ticket_and_the_old_ticket_is_a_stranger` `contract_races::under_a_ticket_that_a_login_spent_nothing_is_served_as_the_principal` `kept_logins::nothing_that_was_under_way_takes_the_place_of_a_login` `kept_logins::a_form_that_was_under_way_logs_nobody_in_again_who_has_logged_out` |
//! | straggler under a planted or spent ticket | changes nothing in that session, gets no ticket of it | `races::a_straggler_under_the_old_ticket_changes_nothing_in_the_session_that_logged_in` `races::an_app_that_repeats_who_is_logged_in_undoes_no_farewell` `contract_races::under_a_ticket_that_a_login_spent_nothing_is_served_as_the_principal` |
//! | the answer that was under way overwrites the new cookie | no Set-Cookie for a spent ticket for 30 s; only other identities are expired | `races::polling_through_two_thousand_logins_and_logouts_never_leaves_the_wrong_cookie` `contract_clock::an_answer_that_was_under_way_never_puts_the_old_ticket_back` |
//! | logged out by a foreign page | nothing minted where our cookie could not have come | `threats::a_foreign_page_that_posts_here_leaves_the_visitor_logged_in` `minting::a_session_begins_only_where_the_cookie_could_have_come_and_will_matter` `blind::a_page_outside_of_the_cookies_path_logs_nobody_out` `blind::a_link_on_a_foreign_page_logs_nobody_out_of_a_strict_site` |
//! | logged out by a bad network | the old ticket leads on until the new one was shown, and 30 s beyond | `contract_clock::on_a_bad_network_nobody_is_ever_logged_out_by_the_clock` |
//! | a ticket carried to another host's app | realm under the MAC | `races::a_ticket_carried_to_another_host_is_a_stranger` `minting::routes_of_one_realm_share_sessions_and_others_do_not` |
//! | one person's role or id after another logged in | one principal per session | `session::bob_after_alice_sees_nothing_of_alice` `contract_flash::a_flash_of_one_person_never_reaches_the_next` |
//! | gates walked around by path (`//admin`, `/%61dmin`, `/ADMIN`, `//x/admin`, `/x/..%3b/admin`) | routes chosen on every reading of the path that an app may have, letters without their case and network paths among them; 400 where readings differ | `paths::sixty_spellings_of_a_guarded_path_never_lead_to_the_open_app` `paths::what_real_apps_read_as_a_guarded_path_is_guarded` `paths::what_a_servlet_container_behind_nginx_reads_as_a_guarded_path_is_guarded` `src/router/mod.rs::no_spelling_of_a_guarded_path_slips_by` `session_config::routes_that_differ_in_case_alone_are_told` |
//! | much work for few bytes of a Cookie | a name is held against all rules at once, within a budget for each request; past that: 431 | `src/cookies/names.rs::what_a_cookie_costs_grows_with_its_bytes_and_hardly_with_the_rules` `src/cookies/names.rs::no_cookie_costs_more_than_the_budget_of_a_request` `limits::names_that_cost_too_much_to_look_at_are_refused` |
//! | much work for few bytes of other fields | each loop over a field looks at its bytes once or a fixed number of times; where rules hold by path is found once for a request | `src/headers/forwarded.rs::hostile_fields_cost_no_more_than_their_bytes` `src/headers/hop_by_hop.rs::hostile_nominations_cost_no_more_than_their_bytes` `src/cookies/rewrite.rs::hostile_lines_cost_no_more_than_their_bytes` `src/cookies/request_path.rs::cookies_are_looked_at_without_going_through_the_path_again` |
//! | much work for few bytes of a path | the readings of one path are at most 96 KiB together; past that: 400 | `src/router/mod.rs::a_path_costs_no_more_than_its_budget` |
//! | gates walked around by a prefix that is taken off | what would climb out of it is a 400; `check` warns | `strip::no_spelling_leads_out_of_the_part_that_was_taken_off` `src/router/strip.rs::what_is_below` `session_config::doors_that_open_where_a_prefix_is_taken_off_are_told` |
//! | a server that is not the app's | by https it is verified, always | `secure_upstreams::who_cannot_be_verified_is_never_asked_and_the_log_says_why` |
//! | gates walked around by a foreign Host | `check` warns | `session_config::side_doors_are_told` |
//! | the tab closed after "log out" | the answer's head is awaited and committed | `races::a_thousand_logouts_with_the_tab_closed_at_once_leave_no_session_alive` |
//! | a flood of anonymous sessions with data | half the memory, evictable; logins are neither counted nor refused | `threats::a_flood_of_anonymous_sessions_evicts_only_its_like` `contract_rights::one_address_begins_no_more_sessions_than_configured_and_logs_in_all_the_same` |
//! | spoofed session headers | stripped under normalised names, in trailers, nominated in `Connection` | `session::forty_spellings_of_a_forged_session_header_reach_the_app_zero_times` `session::a_forged_session_header_among_the_trailers_never_reaches_the_app` `session::a_visitor_cannot_nominate_our_headers_away` `contract_rights::what_an_upstream_is_told_under_further_names_no_visitor_can_say_on_any_route` `contract_values::a_session_header_of_a_visitor_never_reaches_an_app_written_for_mod_session` |
//! | spoofed Forwarded | one family believed, only from `trusted_proxies`, read from the right; made anew for the app | `hygiene::what_an_untrusted_peer_says_of_the_visitor_never_reaches_the_app` `hygiene::a_trusted_proxy_is_believed_from_the_right` `hygiene::the_forwarded_family_is_believed_where_it_is_the_configured_one` |
//! | a certificate that nobody has shown | the subject that was verified, and no other; tickets of a listener that asks for certificates are its own | `client_certificates::the_app_is_told_the_subject_that_was_verified_and_nobody_else_is_served` `client_certificates::a_ticket_of_a_listener_that_asks_for_nothing_opens_no_other` |
//! | fixation through the jar | a kept cookie that changes in answer to an unsafe method renews the ticket | `vault::a_ticket_planted_before_an_app_regenerates_its_id_is_worth_nothing_after_it` `kept::a_kept_cookie_that_changes_renews_the_ticket_as_the_rule_says` |
//! | a planted cookie under a kept, sealed or renamed name | taken out of requests, in each spelling that some app reads as that name | `kept_names::what_a_browser_sends_under_a_kept_name_never_reaches_the_app` `kept_names::what_some_app_would_read_as_a_kept_cookie_never_reaches_it` `kept_names::what_the_jar_sends_no_browser_sends_beside_it` `kept_names::a_path_that_can_be_read_in_two_ways_opens_no_way_past_a_rule` `src/cookies/lookalikes.rs::side_doors` |
//! | tampered sealed cookie | bound to name, realm and, if configured, session; every flipped bit is refused | `src/cookies/seal.rs::no_bit_of_a_sealed_value_can_be_changed_and_nothing_else_opens_it` `sealed::a_sealed_cookie_is_worth_nothing_under_another_name_host_or_key` |
//! | tampered client-side session | sealed with its name, realm and number of parts; every flipped bit is refused | `carried::not_one_bit_of_a_hundred_sealed_sessions_can_be_changed` `carried::of_a_hundred_sealed_sessions_with_any_bit_changed_none_is_taken` `carried::parts_that_are_missing_doubled_in_another_order_or_of_another_visitor_make_a_stranger` `carried::a_sealed_session_is_worth_nothing_under_another_name_host_or_key` |
//! | a copied cookie of a client-side session | this node remembers which ended or were renewed, on disk too where that is wanted | `carried::a_cookie_that_was_logged_out_or_renewed_is_not_taken_again` |
//! | an app's cookie in clear where none may be | what cannot be kept or sealed is dropped | `sealed::what_cannot_be_sealed_never_passes_in_clear` `kept::what_cannot_be_kept_is_dropped_and_told` |
//! | cookie tossing | at most four of our name are tried; two valid ones of different sessions: a stranger | `cookies::several_tickets_at_once_lead_to_one_session_or_to_none` `duplicates::a_good_one_past_the_fourth_is_found_once_the_others_are_expired` `blind::planted_cookies_beside_the_true_one_log_nobody_out` `duplicates::a_nameless_cookie_of_the_app_is_not_ours_in_disguise` |
//! | cookie sandwich | names compared byte for byte; quotes, `$Version`, backslashes are plain characters | `threats::no_quoting_hides_or_moves_a_cookie` |
//! | cookie bomb | more than 180 cookies or 16 KiB of Cookie: 431; what is looked for in them is found in one pass | `limits::what_is_within_the_limits_passes_and_what_is_past_them_does_not` `src/cookies/lookalikes.rs::the_work_grows_with_the_length_and_no_faster` |
//! | cached Set-Cookie | it waits, or the answer is made private | `minting::a_ticket_never_lands_in_a_cache_that_serves_many` `kept::an_answer_whose_cookie_was_taken_away_is_for_no_shared_cache` |
//! | cached personal page | `cache = "private"` for answers that were shown a principal or field | `contract_rights::an_answer_that_was_shown_something_personal_is_not_for_shared_caches` |
//! | TRACE echoes our headers | 405 | `limits::methods_that_would_echo_or_tunnel_are_refused` |
//! | a logout that a renewal overtakes | an ending counts under a renewed ticket, if nobody has come into the session since its request was shown it | `endings::whoever_logs_out_is_out_though_the_ticket_was_renewed_meanwhile` `endings::a_session_without_a_name_ends_as_well` `endings::a_cookie_that_an_app_takes_away_is_gone_though_the_ticket_was_renewed_meanwhile` `endings::an_answer_from_before_a_login_ends_nothing` `endings::whoever_is_out_already_still_logs_everyone_else_of_theirs_out` |
//! | a principal logged in under an invented Host survives "log out everywhere" | by routes without a host a principal is one across all hosts; `check` says which hosts to name | `contract_people::whoever_logs_in_under_an_invented_host_is_counted_and_logged_out_with_the_others` `contract_people::whoever_shares_a_session_is_the_same_person` |
//! | bytes that an app sends after its answer are taken for the next one | looked for on the socket before a connection is used again, whatever the method; after HEAD, 204 and 304 a connection rests for a second; a server that was seen to send more is not trusted after such answers | `leftovers::bytes_that_came_while_the_loop_was_busy_are_no_answer` `leftovers::a_body_after_an_answer_that_has_none_is_nobodys_answer` `leftovers::what_is_no_answer_is_asked_again_on_a_new_connection` `leftovers::what_may_have_been_done_is_not_asked_again` |
//! | a body that an app does not read is its next request | after bodies of GET, HEAD, DELETE and OPTIONS, and of refused requests, no connection is used again; `proof` tells the app what came through here | `leftovers::a_body_that_an_app_passes_over_is_no_request` |
//! | what an app's system holds back behind its answer | asked for at once after answers in pieces and after requests with a body | `leftovers::what_an_app_holds_back_behind_its_answer_is_nobodys_answer` |
//! | a gate walked around by where a copy goes (`Destination`) | it may lead to no route that differs: 403 | `hygiene::where_a_copy_goes_is_on_the_same_route` |
//! | one app fills the jar that others share | the app with the most loses a cookie, what looks like a login last | `kept::of_a_full_jar_a_login_goes_last_and_no_app_drives_out_anothers` |
//! | a connection that the app has logged in (NTLM, Negotiate) is given to the next visitor | it belongs to the visitor's own connection, and dies with it; over HTTP/2, and behind a trusted proxy, it is not offered | `logged_in_connections::behind_a_trusted_proxy_no_connection_is_logged_in` `logged_in_connections::a_connection_is_not_pinned_by_who_was_offered_no_login` `logged_in_connections::a_connection_that_was_logged_in_is_for_its_visitor_alone` `logged_in_connections::of_several_servers_the_one_is_asked_where_the_visitor_is_logged_in` `logged_in_connections::over_http2_no_connection_is_logged_in` |
//! | slow senders hold the app's workers | bodies up to `request_buffer` are held until they are whole, longer ones come at a pace, connections to an app are counted, and unused ones give way | `shares_of_apps::connections_that_are_logged_in_and_unused_hold_up_nobody` `src/upstream/replay.rs::what_there_is_no_room_to_hold_goes_on_and_is_told` `shares_of_apps::slow_senders_hold_no_worker_of_the_app` `limits::what_holds_a_worker_of_the_app_comes_at_a_pace` `shares_of_apps::an_app_has_no_more_connections_than_it_may_and_others_wait_or_are_told` |
//! | one address, account or app uses up what all need | shares: new sessions by address, sessions by principal, connections by server; 64 descriptors kept back | `contract_rights::what_one_address_has_too_many_is_not_what_others_lack` `contract_rights::a_principal_has_no_more_sessions_than_configured` `shares_of_apps::apps_take_no_descriptor_that_is_kept_back` |
//! | one visitor steers where all go | faults of one visitor's requests alone put no server out of use | `balance::one_visitor_alone_puts_no_server_out_of_use` |
//! | who was logged out reads on | every answer that goes on for two seconds ends with its session | `events::any_answer_that_goes_on_ends_with_its_session_and_not_with_its_ticket` `events::a_stream_ends_with_the_session_that_it_began_under` |
//! | a gate by one listener (client certificates), a door by another | `check` warns where the same routes are served without | `client_certificates::another_listener_without_them_is_told` |
//! | keys and fields in a core file | `LimitCORE=0`, not dumpable | `src/app/system.rs::nobody_reads_the_memory_and_no_core_is_written` |
//! | a key written through a planted link | the draft is made anew or not at all | `src/app/state.rs::a_key_is_written_through_no_link` |
//! | a log line that reads otherwise than it is | what is invisible or turns the direction is written out | `logs::invisible_characters_are_written_out` |
//! | late write after logout | tombstone; an exchange that saw a record never creates one | `races::a_write_that_was_under_way_does_not_bring_a_destroyed_session_back` `contract_races::five_hundred_sessions_that_end_while_writes_are_under_way_stay_ended` |
//! | the same name on another site | principals are known by realm | `contract_people::a_name_on_one_site_is_nobody_on_another` |
//! | login in flight when everyone is logged out | ended too, if its request began before | `contract_races::of_two_hundred_logins_under_way_when_everyone_is_logged_out_none_counts` |
//! | lost update | changes, never snapshots | `races::two_hundred_writers_of_one_session_lose_no_field` `contract_races::a_number_that_a_hundred_requests_add_to_is_their_exact_sum` `contract_model::any_sequence_of_changes_equals_the_same_on_a_plain_map` |
//! | secrets in logs | tickets, cookie values, field values and Authorization never; ids yes | `logs::no_log_holds_a_ticket_a_cookie_a_field_or_a_password` |
//! | pages of other sites at the admin address | Host is an address or localhost; a header that no form sends; on TCP a token | `admin::by_tcp_it_answers_who_asks_by_address_alone` `admin::by_tcp_the_api_asks_for_the_token_and_the_command_line_has_it` `admin::an_operator_sees_how_it_is_and_has_it_reload` |
//! | a session's content before an operator's eyes | names and sizes, never values | `admin::who_is_revoked_is_logged_out_and_no_value_is_ever_shown` `admin::on_the_dashboard_an_operator_finds_a_session_and_ends_it` |
//! | open redirect by `next=` | only paths of this site | `gates::the_way_back_from_a_login_never_leads_to_another_site` |
//! | posts from foreign pages | `cross_site = "block"` | `gates::what_another_site_makes_a_browser_ask_for_is_refused` |
//! | timing | lookups by id, secrets compared by hash, in constant time | `threats::secrets_are_compared_in_constant_time_alone` |
//! | slow heads, bodies and readers | a head has its time in all, a body its time and its pace, an answer is to be read; past that: cut | `slow::slow_attackers_are_cut_and_their_neighbour_is_served` `limits::a_body_that_comes_by_drops_is_a_timeout_and_one_that_rests_is_not` `limits::a_head_that_does_not_arrive_in_time_costs_the_connection` `tls::what_speaks_no_tls_or_takes_too_long_with_it_is_cut_and_others_are_served` |
//! | connections without end | counted, in all and by address; an idle one costs little | `slow::an_idle_connection_costs_little` `proxy_protocol::connections_are_counted_for_the_visitor_and_not_for_the_balancer` |
//! | floods by HTTP/2: resets, CONTINUATION, empty frames, SETTINGS, PING, header bombs, shut windows | counted and cut within a second, others are served, memory is bounded | `http2_attacks::floods_are_cut_and_hurt_nobody_else` `http2_attacks::requests_that_are_taken_back_before_their_answer_are_counted` `http2_attacks::a_header_bomb_is_refused` `http2_attacks::windows_that_stay_shut_hold_no_more_than_their_buffers` `http2_attacks::who_opens_every_window_and_reads_nothing_is_cut_at_little_cost` `http2_attacks::windows_that_open_by_a_byte_hold_no_more_than_their_buffers` |
//! | a visitor who does not read, on a connection to the app that others share | the windows of all come to no more than that of the connection | `http2_apps::who_does_not_read_holds_up_nobody_on_the_same_connection` |
//! | a forged PROXY header | believed only where it is required, and from peers that may say it | `proxy_protocol::where_it_is_off_nobody_can_say_it` `proxy_protocol::who_does_not_begin_with_it_is_not_served` |
//! | CRLF and friends | values are checked when written, by the app too | `contract::a_malformed_line_is_dropped_alone_and_told_in_the_log` `contract_values::a_raw_field_never_carries_what_would_break_a_header` |
//!
//! # Rules of the road
//!
//! What RFC 9110, 9112 and 9113 ask of who stands between two others, and the tests that hold it; `tests/it/threats.rs`
//! looks after this table as well. `road` is a table of its own: raw bytes in, raw bytes out, a row for each of these.
//!
//! | section | rule | tests |
//! | --- | --- | --- |
//! | 9110 7.4 | whose certificate a request came under is the same for all names on its connection: rules about it belong to a listener, so none is misdirected (421) | `client_certificates::on_one_connection_every_name_is_under_the_same_rule` |
//! | 9110 7.6.1 | `Connection` and all it names end here, in trailers as well; so do Keep-Alive, Proxy-Connection, TE, Transfer-Encoding, Upgrade | `road::each_rule_of_the_road_is_kept` `framing::what_speaks_of_one_connection_ends_here_and_all_else_passes` `hygiene::what_connection_names_ends_here_in_trailers_as_well` |
//! | 9110 7.6.3, 7.6 | Via on requests; no loop to oneself | `road::each_rule_of_the_road_is_kept` `hygiene::a_request_that_goes_round_in_a_circle_is_let_out` |
//! | 9110 7.6.2 | Max-Forwards on OPTIONS is counted down; TRACE is not served | `road::each_rule_of_the_road_is_kept` `connections::an_options_goes_no_further_than_it_may` `limits::methods_that_would_echo_or_tunnel_are_refused` |
//! | 9110 5.1, 5.3 | unknown fields pass, and lines of one name in their order | `road::each_rule_of_the_road_is_kept` `answers::header_values_pass_byte_for_byte_and_line_by_line` |
//! | 9110 5.5 | CR, LF and NUL in values are refused | `road::each_rule_of_the_road_is_kept` `http2::what_http1_could_read_in_two_ways_never_reaches_it` |
//! | 9110 6.6.1 | Date, where the app sent none | `road::each_rule_of_the_road_is_kept` `framing::an_answer_has_a_date_and_keeps_the_one_it_had` |
//! | 9110 8.6 | never a wrong Content-Length | `road::each_rule_of_the_road_is_kept` `streams::answers_without_a_body_end_with_their_head` `framing::the_version_of_an_answer_is_ours_and_not_the_apps` |
//! | 9110 9.2.2 | what is not idempotent is never repeated once a byte of it left | `faults::a_post_is_never_sent_twice` `faults::a_get_on_a_pooled_connection_that_died_is_repeated_once` `faults::a_get_that_failed_on_a_new_connection_is_not_repeated` |
//! | 9110 10.1.1 | `100-continue` is answered here; other expectations: 417 | `road::each_rule_of_the_road_is_kept` `streams::whoever_expects_100_continue_is_asked_for_the_body_and_the_app_is_not_bothered` `streams::any_other_expectation_fails` |
//! | 9110 11.6.2, 13.2.1 | Authorization and conditionals are the app's | `road::each_rule_of_the_road_is_kept` |
//! | 9110 15.2 | interim answers are passed on, but for 100 and to who cannot read them | `http2::hints_reach_the_visitor_before_there_is_an_answer` `clients::chromium_follows_an_early_hint_while_the_app_still_thinks` `road::each_rule_of_the_road_is_kept` `framing::interim_answers_are_not_taken_for_the_answer_and_say_nothing_of_sessions` `framing::interim_answers_reach_only_who_can_read_them_and_say_only_what_is_for_them` |
//! | 9112 3.2 | one good Host; absolute-form wins over it; `OPTIONS *` | `road::each_rule_of_the_road_is_kept` `paths::a_request_without_one_good_host_is_refused` `paths::the_host_of_an_absolute_target_wins_over_the_header` `paths::options_for_the_whole_server_reach_the_app_as_such` |
//! | 9112 6.1, 6.3 | a length that can be read in two ways is refused, of an answer as well; of both, Transfer-Encoding wins and the connection is closed | `road::each_rule_of_the_road_is_kept` `framing::a_request_whose_length_can_be_read_in_two_ways_is_refused` `framing::an_answer_whose_length_can_be_read_in_two_ways_is_a_bad_gateway` `framing::a_length_beside_chunks_in_a_request_is_dropped_and_the_connection_closed` |
//! | 9112 9.2 | bytes after an answer are never the next answer | `road::each_rule_of_the_road_is_kept` `framing::bytes_after_an_answer_are_never_the_next_answer` |
//! | 9112 2.2, 5.2 | bare CR and folded lines | `road::each_rule_of_the_road_is_kept` `answers::what_is_odd_and_valid_passes` |
//! | 9112 9.3 | HTTP/1.0 is kept only where it asks for that | `road::each_rule_of_the_road_is_kept` `framing::an_http_1_0_visitor_is_answered_and_left` `framing::an_http_1_0_visitor_who_asks_for_it_is_kept` |
//! | 9110 7.8 | nothing of a tunnel goes to the app before it said 101; refused with bytes pending: close | `tunnels::nothing_of_a_tunnel_reaches_the_app_before_it_agrees_and_nothing_ever_if_it_refuses` `tunnels::what_would_change_our_own_connection_or_has_a_body_is_not_passed_on` `connections::after_a_change_of_protocol_that_nobody_asked_for_the_connection_is_thrown_away` |
//! | 9112 9.3 | a body that was not read is drained or the connection closed, never read as a request | `answers::after_an_early_answer_the_rest_of_the_body_is_never_a_request` `desync::what_is_malformed_reaches_nobody_and_mixes_up_nothing` |
//! | 9112 11 | 1,800 malformed requests and 300 malformed answers between requests of others: no answer goes to the wrong one, and the access log knows all that the app was asked | `desync::what_is_malformed_reaches_nobody_and_mixes_up_nothing` `desync::what_an_app_says_amiss_is_told_to_nobody_else` |
//! | 9113 8.2, 8.3 | to HTTP/1: no CR, LF, NUL, no `:` in names, no connection fields, `:authority` against Host, Content-Length against DATA, cookies in one line | `http2::what_http1_could_read_in_two_ways_never_reaches_it` `http2::cookies_in_lines_of_their_own_become_one` |
//! | 9113 8.1, 8.2, 10.3 | an app that speaks HTTP/2 amiss is a bad gateway; what it cuts short is never shown as whole | `http2_app_faults::what_is_no_answer_is_a_bad_gateway` `http2_app_faults::an_answer_that_breaks_off_is_never_shown_as_whole` |
//! | 9113 8.7 | what an app says it did nothing with is sent again, whatever it is; what it may have seen, only where that does no harm | `http2_app_refusals::what_the_app_says_it_did_nothing_with_is_sent_again_whatever_it_is` `http2_app_refusals::what_the_app_may_have_seen_is_sent_again_only_where_that_does_no_harm` |
//! | 9112 8 | what was cut short is never shown as complete, either way | `streams::an_answer_that_the_app_cuts_short_is_never_shown_as_complete` `http2::an_answer_that_breaks_off_is_cut_and_never_shown_as_whole` `streams::an_upload_that_the_visitor_breaks_off_is_never_shown_to_the_app_as_complete` `http2::a_body_that_its_sender_takes_back_is_no_whole_body` |
//!
//! # Glossary
//!
//! - **visitor**, downstream: who sends requests. **app**, upstream: who answers them; an [`upstream::Endpoint`] is
//!   one of its servers.
//! - **ticket**: what the cookie holds; secret, replaced at every renewal. **id**: public, constant for the session's
//!   life. **realm**: what a ticket is bound to, the host unless configured otherwise.
//! - **record** ([`record::Record`]): what the store holds. A session without data has none.
//! - **principal**: who is logged in. At most one in a session's life.
//! - **spent**: a ticket that was replaced. **tombstone**: what stays of an ended session. **straggler**: an answer
//!   whose request came under a ticket that was spent meanwhile; it changes nothing.
//! - **jar** ([`record::jar::Jar`]): cookies of the app that its session keeps. **kept**, **sealed**, **renamed**: what
//!   a rule of `[[cookies]]` makes of one.
//! - **stranger**: a request without a ticket that leads anywhere.

pub mod clock;
pub mod crypto;
pub mod message;
pub mod metrics;
pub mod net;
pub mod tasks;

pub mod config;

pub mod record;

pub mod store;

pub mod cookies;
pub mod headers;
pub mod listen;
pub mod router;
pub mod session;
pub mod upstream;

pub mod plan;

pub mod proxy;

pub mod admin;
pub mod app;

pub mod cli;
