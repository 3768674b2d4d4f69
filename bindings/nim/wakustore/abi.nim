## The C ABI as it is, from include/wakustore.h. The C compiler sees the header, so that a struct or
## a function that differs from it does not compile. What each call does, who owns what and which
## errors it gives is told there; `wakustore.nim` is the binding to program with.
##
## Compile with `--passL:-L…` for the directory of the library.

import std/os

const includeDir = currentSourcePath().parentDir.parentDir.parentDir.parentDir / "include"

{.passC: "-I\"" & includeDir & "\"".}
{.passL: "-lwakustore".}

const
  wksForever* = high(uint64)
  wksUnbounded* = high(uint64)
  wksDirectionForward* = 0'i32
  wksDirectionBackward* = 1'i32

type
  WksError* {.importc: "wks_error", header: "wakustore.h", bycopy.} = object
    id*: uint64
  WksOp* {.importc: "wks_op", header: "wakustore.h", bycopy.} = object
    id*: uint64
  WksQueue* {.importc: "wks_queue", header: "wakustore.h", bycopy.} = object
    id*: uint64
  WksArchiveOptions* {.importc: "wks_archive_options", header: "wakustore.h", bycopy.} = object
    id*: uint64
  WksArchive* {.importc: "wks_archive", header: "wakustore.h", bycopy.} = object
    id*: uint64
  WksQuery* {.importc: "wks_query", header: "wakustore.h", bycopy.} = object
    id*: uint64
  WksPage* {.importc: "wks_page", header: "wakustore.h", bycopy.} = object
    id*: uint64
  WksOutcomes* {.importc: "wks_outcomes", header: "wakustore.h", bycopy.} = object
    id*: uint64
  WksHashes* {.importc: "wks_hashes", header: "wakustore.h", bycopy.} = object
    id*: uint64
  WksBuffer* {.importc: "wks_buffer", header: "wakustore.h", bycopy.} = object
    id*: uint64
  WksNodeOptions* {.importc: "wks_node_options", header: "wakustore.h", bycopy.} = object
    id*: uint64
  WksNode* {.importc: "wks_node", header: "wakustore.h", bycopy.} = object
    id*: uint64
  WksHistory* {.importc: "wks_history", header: "wakustore.h", bycopy.} = object
    id*: uint64
  WksCheck* {.importc: "wks_check", header: "wakustore.h", bycopy.} = object
    id*: uint64
  WksStrings* {.importc: "wks_strings", header: "wakustore.h", bycopy.} = object
    id*: uint64
  WksFindings* {.importc: "wks_findings", header: "wakustore.h", bycopy.} = object
    id*: uint64
  WksMove* {.importc: "wks_move", header: "wakustore.h", bycopy.} = object
    id*: uint64
  WksTopics* {.importc: "wks_topics", header: "wakustore.h", bycopy.} = object
    id*: uint64
  WksReport* {.importc: "wks_report", header: "wakustore.h", bycopy.} = object
    id*: uint64
  WksEvents* {.importc: "wks_events", header: "wakustore.h", bycopy.} = object
    id*: uint64
  WksEvent* {.importc: "wks_event", header: "wakustore.h", bycopy.} = object
    id*: uint64
  WksCoverage* {.importc: "wks_coverage", header: "wakustore.h", bycopy.} = object
    id*: uint64
  WksBatch* {.importc: "wks_batch", header: "wakustore.h", bycopy.} = object
    id*: uint64
  WksChanges* {.importc: "wks_changes", header: "wakustore.h", bycopy.} = object
    id*: uint64
  WksChange* {.importc: "wks_change", header: "wakustore.h", bycopy.} = object
    id*: uint64

  WksValidate* = proc (batch: WksBatch, user: pointer) {.cdecl, gcsafe, raises: [].}
  WksDrop* = proc (user: pointer) {.cdecl, gcsafe, raises: [].}

  WksBytes* {.importc: "wks_bytes", header: "wakustore.h", bycopy.} = object
    data* {.importc: "ptr".}: ptr UncheckedArray[byte]
    len*: csize_t
  WksHash* {.importc: "wks_hash", header: "wakustore.h", bycopy.} = object
    bytes*: array[32, byte]
  WksPosition* {.importc: "wks_position", header: "wakustore.h", bycopy.} = object
    bytes*: array[24, byte]

  WksCompletion* {.importc: "wks_completion", header: "wakustore.h", bycopy.} = object
    structSize* {.importc: "struct_size".}: csize_t
    op*: WksOp
    user*: pointer

  WksMessage* {.importc: "wks_message", header: "wakustore.h", bycopy.} = object
    structSize* {.importc: "struct_size".}: csize_t
    pubsubTopic* {.importc: "pubsub_topic".}: WksBytes
    contentTopic* {.importc: "content_topic".}: WksBytes
    payload*: WksBytes
    meta*: WksBytes
    rateLimitProof* {.importc: "rate_limit_proof".}: WksBytes
    timestamp*: int64
    version*: uint32
    hasTimestamp* {.importc: "has_timestamp".}: uint8
    hasVersion* {.importc: "has_version".}: uint8
    hasMeta* {.importc: "has_meta".}: uint8
    hasRateLimitProof* {.importc: "has_rate_limit_proof".}: uint8
    hasEphemeral* {.importc: "has_ephemeral".}: uint8
    ephemeral*: uint8

  WksOutcome* {.importc: "wks_outcome", header: "wakustore.h", bycopy.} = object
    structSize* {.importc: "struct_size".}: csize_t
    hash*: ptr UncheckedArray[byte]
    outcome*: int32
    status*: int32
    reason*: WksBytes

  WksEntry* {.importc: "wks_entry", header: "wakustore.h", bycopy.} = object
    structSize* {.importc: "struct_size".}: csize_t
    hash*: ptr UncheckedArray[byte]
    pubsubTopic* {.importc: "pubsub_topic".}: WksBytes
    contentTopic* {.importc: "content_topic".}: WksBytes
    payload*: WksBytes
    meta*: WksBytes
    rateLimitProof* {.importc: "rate_limit_proof".}: WksBytes
    timestamp*: int64
    version*: uint32
    hasData* {.importc: "has_data".}: uint8
    hasTimestamp* {.importc: "has_timestamp".}: uint8
    hasVersion* {.importc: "has_version".}: uint8
    hasMeta* {.importc: "has_meta".}: uint8
    hasRateLimitProof* {.importc: "has_rate_limit_proof".}: uint8
    hasEphemeral* {.importc: "has_ephemeral".}: uint8
    ephemeral*: uint8

  WksStats* {.importc: "wks_stats", header: "wakustore.h", bycopy.} = object
    structSize* {.importc: "struct_size".}: csize_t
    messages*: uint64
    bytesOnDisk* {.importc: "bytes_on_disk".}: uint64
    oldest*: int64
    newest*: int64

  WksHistoryOptions* {.importc: "wks_history_options", header: "wakustore.h", bycopy.} = object
    structSize* {.importc: "struct_size".}: csize_t
    spanNs* {.importc: "span_ns".}: uint64

  WksCheckPeer* {.importc: "wks_check_peer", header: "wakustore.h", bycopy.} = object
    structSize* {.importc: "struct_size".}: csize_t
    peer*: WksBytes
    told*: csize_t
    omitted*: WksBytes
    status*: int32
    reason*: WksBytes

  WksBackup* {.importc: "wks_backup", header: "wakustore.h", bycopy.} = object
    structSize* {.importc: "struct_size".}: csize_t
    messages*, bytes*: uint64

  WksFindingsInfo* {.importc: "wks_findings_info", header: "wakustore.h", bycopy.} = object
    structSize* {.importc: "struct_size".}: csize_t
    messages*, tombstones*, count*: uint64
    listed*: csize_t

  WksFinding* {.importc: "wks_finding", header: "wakustore.h", bycopy.} = object
    structSize* {.importc: "struct_size".}: csize_t
    kind*: int32
    hash*: ptr UncheckedArray[byte]
    detail*: WksBytes

  WksMoveInfo* {.importc: "wks_move_info", header: "wakustore.h", bycopy.} = object
    structSize* {.importc: "struct_size".}: csize_t
    read*, written*, duplicates*, refused*, rehashed*, unhashed*: uint64
    withoutProof* {.importc: "without_proof".}: uint64
    listed*: csize_t
    complete*: uint8
    position*: WksBytes

  WksRefusedRow* {.importc: "wks_refused_row", header: "wakustore.h", bycopy.} = object
    structSize* {.importc: "struct_size".}: csize_t
    row*: WksBytes
    timestamp*: int64
    status*: int32
    reason*: WksBytes

  WksTopicStats* {.importc: "wks_topic_stats", header: "wakustore.h", bycopy.} = object
    structSize* {.importc: "struct_size".}: csize_t
    name*: WksBytes
    messages*, bytes*: uint64
    oldest*, newest*: int64

  WksSyncOptions* {.importc: "wks_sync_options", header: "wakustore.h", bycopy.} = object
    structSize* {.importc: "struct_size".}: csize_t
    windowStart* {.importc: "window_start".}: int64
    windowEnd* {.importc: "window_end".}: int64
    hasWindow* {.importc: "has_window".}: uint8
    direction*: int32
    protocol*: int32
    dryRun* {.importc: "dry_run".}: uint8

  WksSyncId* {.importc: "wks_sync_id", header: "wakustore.h", bycopy.} = object
    structSize* {.importc: "struct_size".}: csize_t
    hash*: ptr UncheckedArray[byte]
    timestamp*: int64

  WksCoverageSpan* {.importc: "wks_coverage_span", header: "wakustore.h", bycopy.} = object
    structSize* {.importc: "struct_size".}: csize_t
    start*: int64
    until* {.importc: "end".}: int64
    comparedAt* {.importc: "compared_at".}: int64
    peers*: uint32
    strong*: uint32

  WksSyncProgress* {.importc: "wks_sync_progress", header: "wakustore.h", bycopy.} = object
    structSize* {.importc: "struct_size".}: csize_t
    missing*: uint64
    surplus*: uint64
    received*: uint64
    sent*: uint64
    dropped*: uint64
    unsendable*: uint64
    frames*: uint64
    reconciliationBytesOut* {.importc: "reconciliation_bytes_out".}: uint64
    reconciliationBytesIn* {.importc: "reconciliation_bytes_in".}: uint64
    transferBytesOut* {.importc: "transfer_bytes_out".}: uint64
    transferBytesIn* {.importc: "transfer_bytes_in".}: uint64
    rangesSettled* {.importc: "ranges_settled".}: uint64
    idsCompared* {.importc: "ids_compared".}: uint64
    refused*: uint64

  WksSyncFigures* {.importc: "wks_sync_figures", header: "wakustore.h", bycopy.} = object
    structSize* {.importc: "struct_size".}: csize_t
    peerId* {.importc: "peer_id".}: WksBytes
    reason*: WksBytes
    status*: int32
    initiator*: uint8
    windowStart* {.importc: "window_start".}: int64
    windowEnd* {.importc: "window_end".}: int64
    durationNs* {.importc: "duration_ns".}: uint64
    missing*: uint64
    surplus*: uint64
    received*: uint64
    sent*: uint64
    dropped*: uint64
    unsendable*: uint64
    outstanding*: uint64
    frames*: uint64
    reconciliationBytesOut* {.importc: "reconciliation_bytes_out".}: uint64
    reconciliationBytesIn* {.importc: "reconciliation_bytes_in".}: uint64
    transferBytesOut* {.importc: "transfer_bytes_out".}: uint64
    transferBytesIn* {.importc: "transfer_bytes_in".}: uint64
    session*: uint64
    rangesSettled* {.importc: "ranges_settled".}: uint64
    idsCompared* {.importc: "ids_compared".}: uint64
    refused*: uint64
    protocol*: int32
    begun*: int32
    agreement*: int32
    hasDifference* {.importc: "has_difference".}: uint8

  WksEventInfo* {.importc: "wks_event_info", header: "wakustore.h", bycopy.} = object
    structSize* {.importc: "struct_size".}: csize_t
    kind*: int32
    origin*: int32
    peerId* {.importc: "peer_id".}: WksBytes
    hash*: ptr UncheckedArray[byte]
    pubsubTopic* {.importc: "pubsub_topic".}: WksBytes
    contentTopic* {.importc: "content_topic".}: WksBytes
    timestamp*: int64
    lagged*: uint64
    session*: uint64
    windowStart* {.importc: "window_start".}: int64
    windowEnd* {.importc: "window_end".}: int64
    protocol*: int32
    begun*: int32
    initiator*: uint8

  WksChangeInfo* {.importc: "wks_change_info", header: "wakustore.h", bycopy.} = object
    structSize* {.importc: "struct_size".}: csize_t
    kind*: int32
    count*: csize_t
    lagged*: uint64
    position*: WksBytes
    hash*: ptr UncheckedArray[byte]
    timestamp*: int64

  WksChangeMessage* {.importc: "wks_change_message", header: "wakustore.h", bycopy.} = object
    structSize* {.importc: "struct_size".}: csize_t
    hash*: ptr UncheckedArray[byte]
    timestamp*: int64
    pubsubTopic* {.importc: "pubsub_topic".}: WksBytes
    contentTopic* {.importc: "content_topic".}: WksBytes
    origin*: int32

{.push cdecl, importc, header: "wakustore.h".}

proc wks_version*(): cstring
proc wks_abi_version*(): uint32
proc wks_status_name*(status: int32): cstring
proc wks_shutdown*(timeoutMs: uint64, error: ptr WksError): cint

proc wks_error_message*(error: WksError): cstring
proc wks_error_detail*(error: WksError): cstring
proc wks_error_free*(error: WksError)

proc wks_op_wait*(op: WksOp, timeoutMs: uint64, error: ptr WksError): cint
proc wks_op_status*(op: WksOp, error: ptr WksError): cint
proc wks_op_cancel*(op: WksOp, error: ptr WksError): cint
proc wks_op_set_queue*(op: WksOp, queue: WksQueue, user: pointer, error: ptr WksError): cint
proc wks_op_take_archive*(op: WksOp, archive: ptr WksArchive, error: ptr WksError): cint
proc wks_op_take_outcomes*(op: WksOp, outcomes: ptr WksOutcomes, error: ptr WksError): cint
proc wks_op_take_page*(op: WksOp, page: ptr WksPage, error: ptr WksError): cint
proc wks_op_take_hashes*(op: WksOp, hashes: ptr WksHashes, error: ptr WksError): cint
proc wks_op_take_buffer*(op: WksOp, buffer: ptr WksBuffer, error: ptr WksError): cint
proc wks_op_take_stats*(op: WksOp, stats: ptr WksStats, error: ptr WksError): cint
proc wks_op_take_node*(op: WksOp, node: ptr WksNode, error: ptr WksError): cint
proc wks_op_take_report*(op: WksOp, report: ptr WksReport, error: ptr WksError): cint
proc wks_op_take_event*(op: WksOp, event: ptr WksEvent, error: ptr WksError): cint
proc wks_op_take_number*(op: WksOp, number: ptr uint64, error: ptr WksError): cint
proc wks_op_take_changes*(op: WksOp, changes: ptr WksChanges, error: ptr WksError): cint
proc wks_op_take_position*(op: WksOp, position: ptr WksPosition, error: ptr WksError): cint
proc wks_op_take_change*(op: WksOp, change: ptr WksChange, error: ptr WksError): cint
proc wks_op_free*(op: WksOp)

proc wks_queue_new*(queue: ptr WksQueue, error: ptr WksError): cint
proc wks_queue_fd*(queue: WksQueue, fd: ptr int32, error: ptr WksError): cint
proc wks_queue_poll*(queue: WksQueue, completions: ptr WksCompletion, capacity: csize_t,
                     count: ptr csize_t, error: ptr WksError): cint
proc wks_queue_free*(queue: WksQueue)

proc wks_buffer_bytes*(buffer: WksBuffer, bytes: ptr WksBytes, error: ptr WksError): cint
proc wks_buffer_free*(buffer: WksBuffer)
proc wks_strings_count*(strings: WksStrings, count: ptr csize_t, error: ptr WksError): cint
proc wks_strings_get*(strings: WksStrings, index: csize_t, text: ptr WksBytes,
                      error: ptr WksError): cint
proc wks_strings_free*(strings: WksStrings)
proc wks_hashes_bytes*(hashes: WksHashes, bytes: ptr WksBytes, error: ptr WksError): cint
proc wks_hashes_free*(hashes: WksHashes)

proc wks_archive_options_new*(options: ptr WksArchiveOptions, error: ptr WksError): cint
proc wks_archive_options_set_path*(options: WksArchiveOptions, path: WksBytes,
                                   error: ptr WksError): cint
proc wks_archive_options_set_durability*(options: WksArchiveOptions, durability: int32,
                                         error: ptr WksError): cint
proc wks_archive_options_set_readers*(options: WksArchiveOptions, readers: uint32,
                                      error: ptr WksError): cint
proc wks_archive_options_set_clock_tolerance*(options: WksArchiveOptions, toleranceMs: uint64,
                                              error: ptr WksError): cint
proc wks_archive_options_set_check_live_age*(options: WksArchiveOptions, check: uint8,
                                             error: ptr WksError): cint
proc wks_archive_options_set_max_queued_bytes*(options: WksArchiveOptions, bytes: csize_t,
                                               error: ptr WksError): cint
proc wks_archive_options_set_max_age*(options: WksArchiveOptions, ageMs: uint64,
                                      error: ptr WksError): cint
proc wks_archive_options_set_max_messages*(options: WksArchiveOptions, messages: uint64,
                                           error: ptr WksError): cint
proc wks_archive_options_set_max_bytes*(options: WksArchiveOptions, bytes: uint64,
                                        error: ptr WksError): cint
proc wks_archive_options_set_validator*(options: WksArchiveOptions, validate: WksValidate,
                                        timeoutMs: uint64, user: pointer, drop: WksDrop,
                                        error: ptr WksError): cint
proc wks_archive_options_set_key*(options: WksArchiveOptions, key: WksBytes,
                                  error: ptr WksError): cint
proc wks_archive_options_free*(options: WksArchiveOptions)
proc wks_archive_open_async*(options: WksArchiveOptions, op: ptr WksOp, error: ptr WksError): cint
proc wks_archive_put_async*(archive: WksArchive, messages: ptr WksMessage, count: csize_t,
                            origin: int32, op: ptr WksOp, error: ptr WksError): cint
proc wks_archive_query_async*(archive: WksArchive, query: WksQuery, op: ptr WksOp,
                              error: ptr WksError): cint
proc wks_archive_get_async*(archive: WksArchive, hashes: WksBytes, op: ptr WksOp,
                            error: ptr WksError): cint
proc wks_archive_missing_async*(archive: WksArchive, hashes: WksBytes, op: ptr WksOp,
                                error: ptr WksError): cint
proc wks_archive_take_down_async*(archive: WksArchive, hashes: WksBytes, op: ptr WksOp,
                                  error: ptr WksError): cint
proc wks_archive_floor*(archive: WksArchive, floor: ptr int64, error: ptr WksError): cint
proc wks_archive_subscribe*(archive: WksArchive, capacity: csize_t, changes: ptr WksChanges,
                            error: ptr WksError): cint
proc wks_archive_subscribe_from_async*(archive: WksArchive, position: WksBytes,
                                       capacity: csize_t, op: ptr WksOp,
                                       error: ptr WksError): cint
proc wks_archive_position_async*(archive: WksArchive, op: ptr WksOp, error: ptr WksError): cint
proc wks_archive_stats_async*(archive: WksArchive, op: ptr WksOp, error: ptr WksError): cint
proc wks_archive_close_async*(archive: WksArchive, op: ptr WksOp, error: ptr WksError): cint
proc wks_archive_history*(archive: WksArchive, query: WksQuery, history: ptr WksHistory,
                          error: ptr WksError): cint
proc wks_archive_take_down_matching_async*(archive: WksArchive, query: WksQuery, op: ptr WksOp,
                                           error: ptr WksError): cint
proc wks_archive_topic_stats_async*(archive: WksArchive, kind: int32, after: WksBytes,
                                    limit: csize_t, op: ptr WksOp, error: ptr WksError): cint
proc wks_archive_backup_async*(archive: WksArchive, path: WksBytes, replace: uint8, op: ptr WksOp,
                               error: ptr WksError): cint
proc wks_archive_restore_async*(source: WksBytes, to: WksArchiveOptions, replace: uint8,
                                op: ptr WksOp, error: ptr WksError): cint
proc wks_archive_verify_async*(archive: WksArchive, op: ptr WksOp, error: ptr WksError): cint
proc wks_archive_salvage_async*(source, to: WksArchiveOptions, op: ptr WksOp,
                                error: ptr WksError): cint
proc wks_archive_import_nwaku_async*(archive: WksArchive, source, position: WksBytes,
                                     limit: uint64, op: ptr WksOp, error: ptr WksError): cint
proc wks_archive_export_nwaku_async*(archive: WksArchive, query: WksQuery,
                                     target, position: WksBytes, limit: uint64, op: ptr WksOp,
                                     error: ptr WksError): cint
proc wks_archive_free*(archive: WksArchive)

proc wks_op_take_backup*(op: WksOp, report: ptr WksBackup, error: ptr WksError): cint
proc wks_op_take_findings*(op: WksOp, findings: ptr WksFindings, error: ptr WksError): cint
proc wks_findings_read*(findings: WksFindings, info: ptr WksFindingsInfo,
                        error: ptr WksError): cint
proc wks_findings_get*(findings: WksFindings, index: csize_t, finding: ptr WksFinding,
                       error: ptr WksError): cint
proc wks_findings_free*(findings: WksFindings)
proc wks_op_take_move*(op: WksOp, report: ptr WksMove, error: ptr WksError): cint
proc wks_move_read*(report: WksMove, info: ptr WksMoveInfo, error: ptr WksError): cint
proc wks_move_refused*(report: WksMove, index: csize_t, row: ptr WksRefusedRow,
                       error: ptr WksError): cint
proc wks_move_free*(report: WksMove)
proc wks_op_take_topics*(op: WksOp, topics: ptr WksTopics, error: ptr WksError): cint
proc wks_topics_count*(topics: WksTopics, count: ptr csize_t, error: ptr WksError): cint
proc wks_topics_get*(topics: WksTopics, index: csize_t, figures: ptr WksTopicStats,
                     error: ptr WksError): cint
proc wks_topics_free*(topics: WksTopics)

proc wks_batch_count*(batch: WksBatch, count: ptr csize_t, error: ptr WksError): cint
proc wks_batch_origin*(batch: WksBatch, origin: ptr int32, error: ptr WksError): cint
proc wks_batch_entry*(batch: WksBatch, index: csize_t, entry: ptr WksEntry,
                      error: ptr WksError): cint
proc wks_batch_judge*(batch: WksBatch, index: csize_t, verdict: int32, reason: WksBytes,
                      error: ptr WksError): cint
proc wks_batch_judge_all*(batch: WksBatch, verdict: int32, reason: WksBytes,
                          error: ptr WksError): cint

proc wks_changes_next_async*(changes: WksChanges, op: ptr WksOp, error: ptr WksError): cint
proc wks_changes_free*(changes: WksChanges)
proc wks_change_read*(change: WksChange, info: ptr WksChangeInfo, error: ptr WksError): cint
proc wks_change_get*(change: WksChange, index: csize_t, message: ptr WksChangeMessage,
                     error: ptr WksError): cint
proc wks_change_free*(change: WksChange)

proc wks_outcomes_count*(outcomes: WksOutcomes, count: ptr csize_t, error: ptr WksError): cint
proc wks_outcomes_get*(outcomes: WksOutcomes, index: csize_t, outcome: ptr WksOutcome,
                       error: ptr WksError): cint
proc wks_outcomes_free*(outcomes: WksOutcomes)

proc wks_query_new*(query: ptr WksQuery, error: ptr WksError): cint
proc wks_query_set_pubsub_topic*(query: WksQuery, topic: WksBytes, error: ptr WksError): cint
proc wks_query_add_content_topic*(query: WksQuery, topic: WksBytes, error: ptr WksError): cint
proc wks_query_set_time*(query: WksQuery, start, until: int64, error: ptr WksError): cint
proc wks_query_set_hashes*(query: WksQuery, hashes: WksBytes, error: ptr WksError): cint
proc wks_query_set_cursor*(query: WksQuery, cursor: WksBytes, error: ptr WksError): cint
proc wks_query_set_direction*(query: WksQuery, direction: int32, error: ptr WksError): cint
proc wks_query_set_limit*(query: WksQuery, limit: csize_t, error: ptr WksError): cint
proc wks_query_set_include_data*(query: WksQuery, includeData: uint8, error: ptr WksError): cint
proc wks_query_free*(query: WksQuery)

proc wks_page_count*(page: WksPage, count: ptr csize_t, error: ptr WksError): cint
proc wks_page_cursor*(page: WksPage, cursor: ptr WksBytes, error: ptr WksError): cint
proc wks_page_entry*(page: WksPage, index: csize_t, entry: ptr WksEntry, error: ptr WksError): cint
proc wks_page_free*(page: WksPage)

proc wks_history_next_async*(history: WksHistory, op: ptr WksOp, error: ptr WksError): cint
proc wks_history_cursor*(history: WksHistory, cursor: ptr WksHash, error: ptr WksError): cint
proc wks_history_free*(history: WksHistory)

proc wks_node_options_new*(options: ptr WksNodeOptions, error: ptr WksError): cint
proc wks_node_options_add_listen*(options: WksNodeOptions, address: WksBytes,
                                  error: ptr WksError): cint
proc wks_node_options_set_cluster_id*(options: WksNodeOptions, id: uint32,
                                      error: ptr WksError): cint
proc wks_node_options_add_shard*(options: WksNodeOptions, shard: uint32, error: ptr WksError): cint
proc wks_node_options_set_state_file*(options: WksNodeOptions, path: WksBytes,
                                      error: ptr WksError): cint
proc wks_node_options_set_sync_on_connect*(options: WksNodeOptions, on: uint8,
                                           error: ptr WksError): cint
proc wks_node_options_set_identity_file*(options: WksNodeOptions, path: WksBytes,
                                         error: ptr WksError): cint
proc wks_node_options_free*(options: WksNodeOptions)
proc wks_node_start_async*(options: WksNodeOptions, archive: WksArchive, op: ptr WksOp,
                           error: ptr WksError): cint
proc wks_node_peer_id*(node: WksNode, peerId: ptr WksBuffer, error: ptr WksError): cint
proc wks_node_addresses*(node: WksNode, addresses: ptr WksStrings, error: ptr WksError): cint
proc wks_node_peers*(node: WksNode, peers: ptr WksStrings, error: ptr WksError): cint
proc wks_node_dial_async*(node: WksNode, address: WksBytes, op: ptr WksOp,
                          error: ptr WksError): cint
proc wks_node_disconnect_async*(node: WksNode, peer: WksBytes, op: ptr WksOp,
                                error: ptr WksError): cint
proc wks_node_options_set_relay*(options: WksNodeOptions, on: uint8, error: ptr WksError): cint
proc wks_node_options_set_store_rate*(options: WksNodeOptions, requests: uint32, perNs: uint64,
                                      requestsOfPeer: uint32, perNsOfPeer: uint64,
                                      error: ptr WksError): cint
proc wks_node_options_set_max_page_bytes*(options: WksNodeOptions, bytes: csize_t,
                                          error: ptr WksError): cint
proc wks_node_history_of*(node: WksNode, peers: ptr WksBytes, count: csize_t, query: WksQuery,
                          options: ptr WksHistoryOptions, history: ptr WksHistory,
                          error: ptr WksError): cint
proc wks_node_presence_async*(node: WksNode, peer, hashes: WksBytes, op: ptr WksOp,
                              error: ptr WksError): cint
proc wks_node_fetch_async*(node: WksNode, peers: ptr WksBytes, count: csize_t, hashes: WksBytes,
                           op: ptr WksOp, error: ptr WksError): cint
proc wks_node_cross_check_async*(node: WksNode, peers: ptr WksBytes, count: csize_t,
                                 query: WksQuery, max: csize_t, op: ptr WksOp,
                                 error: ptr WksError): cint
proc wks_op_take_check*(op: WksOp, check: ptr WksCheck, error: ptr WksError): cint
proc wks_check_hashes*(check: WksCheck, hashes: ptr WksBytes, error: ptr WksError): cint
proc wks_check_count*(check: WksCheck, count: ptr csize_t, error: ptr WksError): cint
proc wks_check_get*(check: WksCheck, index: csize_t, told: ptr WksCheckPeer,
                    error: ptr WksError): cint
proc wks_check_free*(check: WksCheck)
proc wks_node_subscribe_async*(node: WksNode, topic: WksBytes, op: ptr WksOp,
                               error: ptr WksError): cint
proc wks_node_unsubscribe_async*(node: WksNode, topic: WksBytes, op: ptr WksOp,
                                 error: ptr WksError): cint
proc wks_node_publish_async*(node: WksNode, message: ptr WksMessage, op: ptr WksOp,
                             error: ptr WksError): cint
proc wks_node_relay_peers_async*(node: WksNode, topic: WksBytes, op: ptr WksOp,
                                 error: ptr WksError): cint
proc wks_op_take_strings*(op: WksOp, strings: ptr WksStrings, error: ptr WksError): cint
proc wks_node_history*(node: WksNode, peer: WksBytes, query: WksQuery, history: ptr WksHistory,
                       error: ptr WksError): cint
proc wks_node_sync_async*(node: WksNode, peer: WksBytes, options: ptr WksSyncOptions,
                          op: ptr WksOp, error: ptr WksError): cint
proc wks_node_events*(node: WksNode, events: ptr WksEvents, error: ptr WksError): cint
proc wks_node_cancel_sync*(node: WksNode, session: uint64, error: ptr WksError): cint
proc wks_node_coverage*(node: WksNode, coverage: ptr WksCoverage, error: ptr WksError): cint
proc wks_coverage_count*(coverage: WksCoverage, count: ptr csize_t, error: ptr WksError): cint
proc wks_coverage_get*(coverage: WksCoverage, index: csize_t, span: ptr WksCoverageSpan,
                       error: ptr WksError): cint
proc wks_coverage_free*(coverage: WksCoverage)
proc wks_node_stop_async*(node: WksNode, op: ptr WksOp, error: ptr WksError): cint
proc wks_node_free*(node: WksNode)

proc wks_report_figures*(report: WksReport, figures: ptr WksSyncFigures, error: ptr WksError): cint
proc wks_report_difference_count*(report: WksReport, side: int32, count: ptr csize_t,
                                  error: ptr WksError): cint
proc wks_report_difference*(report: WksReport, side: int32, index: csize_t, id: ptr WksSyncId,
                            error: ptr WksError): cint
proc wks_report_free*(report: WksReport)

proc wks_events_next_async*(events: WksEvents, op: ptr WksOp, error: ptr WksError): cint
proc wks_events_free*(events: WksEvents)
proc wks_event_read*(event: WksEvent, info: ptr WksEventInfo, error: ptr WksError): cint
proc wks_event_report*(event: WksEvent, report: ptr WksReport, error: ptr WksError): cint
proc wks_event_progress*(event: WksEvent, progress: ptr WksSyncProgress,
                         error: ptr WksError): cint
proc wks_event_free*(event: WksEvent)

{.pop.}
