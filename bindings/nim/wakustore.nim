## Archive, Store queries and Sync of the Waku network, from Nim (1.6 and 2, refc, arc and orc).
##
## Every operation starts at once and gives an `Op`: `wait` for it where blocking is fine, or hand
## it to an event loop (`wakustore/completions`). What fails raises `WakuError`. Objects of the
## library are freed with the last reference to them; `release` does it at once.
##
## No code of the host runs on a thread of the library, but for a validator (see `openArchive`).

import std/[enumutils, options]
import wakustore/abi

export options

type
  ErrorKind* {.pure.} = enum
    ## What went wrong. `Unknown` is one of a newer library: see `WakuError.code`.
    Unknown = 0
    Internal = 1, InvalidArgument, NullPointer, Handle, Forked, Shutdown, WouldDeadlock,
    Cancelled, TimedOut, Poisoned, Busy, Unsupported, NotReady, NoResult, Resources
    InvalidTopic = 100, InvalidHash, MessageTooLarge, MetaTooLarge, NoTimestamp, Ephemeral,
    TimestampInFuture, TimestampTooOld, InvalidTimeRange
    Truncated = 200, FrameTooLarge, Malformed
    ArchiveOpen = 300, ArchiveCorrupt, DiskFull, CursorNotFound, SchemaTooNew, ArchiveIo,
    ArchiveLocked, ArchiveReadOnly, ArchiveClosed, ValidatorRefused, TakenDown,
    PositionGone, WrongKey, ArchiveUnavailable
    StoreBadRequest = 400, StoreBadResponse, StoreTooManyRequests, StoreUnavailable
    SyncProtocol = 500, SyncScope, SyncBusy
    Address = 600, Dial, Listen, PeerUnknown, ProtocolUnsupported, StreamClosed, KeyFile,
    OtherCluster, NoRelayPeers

  WakuError* = object of CatchableError
    kind*: ErrorKind
    code*: int32     ## The number of the C ABI.
    detail*: string  ## The kind's name and the function that failed, for logs.

  MessageHash* = array[32, byte]

  Message* = object
    ## A message and where it is published. Absent and empty are told apart where the wire does.
    pubsubTopic*, contentTopic*: string
    payload*: seq[byte]
    timestamp*: Option[int64] ## Unix nanoseconds; without it a message is never stored.
    meta*: Option[seq[byte]]
    version*: Option[uint32]
    rateLimitProof*: Option[seq[byte]]
    ephemeral*: Option[bool]

  Origin* {.pure.} = enum
    ## Where a message came from; a live one must be recent.
    Live, Sync, Resume, Import

  PutOutcome* {.pure.} = enum
    Stored, Duplicate, Refused

  PutResult* = object
    hash*: MessageHash
    outcome*: PutOutcome
    code*: int32     ## Why it was refused, as in `WakuError`.
    reason*: string

  Direction* {.pure.} = enum
    Forward, Backward

  Query* = object
    ## See `query`.
    pubsubTopic*: string
    contentTopics*: seq[string]
    start*, until*: int64
    hashes*: seq[MessageHash]
    cursor*: Option[MessageHash]
    direction*: Direction
    limit*: int
    includeData*: bool

  Stats* = object
    messages*, bytesOnDisk*: uint64
    oldest*, newest*: int64

  Durability* {.pure.} = enum
    ## What a commit survives: a power loss, or (`Normal`) a crash of the process alone.
    Full, Normal

  Verdict* {.pure.} = enum
    ## What a validator says of a message. `Unknown` may be put again, `Invalid` is never stored.
    Unknown, Valid, Invalid

  ChangedMessage* = object
    ## A message that was stored or removed.
    hash*: MessageHash
    timestamp*: int64
    pubsubTopic*, contentTopic*: string
    origin*: Origin

  Position* = array[24, byte]
    ## A place in the changes of one archive, to keep and to go on from.

  ChangeKind* {.pure.} = enum
    Other, Stored, Removed, Lagged, Expired

  Change* = object
    ## What was committed, by this archive or by others on the same file.
    position*: Option[Position]  ## Where to go on from after it.
    case kind*: ChangeKind
    of ChangeKind.Other: discard
    of ChangeKind.Stored, ChangeKind.Removed:
      messages*: seq[ChangedMessage]
    of ChangeKind.Lagged:
      missed*: uint64  ## Messages that the reader was too slow for; 0 where it is not known.
    of ChangeKind.Expired:
      last*: SyncId    ## Retention removed all up to this one, with it.

  SyncProtocol* {.pure.} = enum
    ## `Auto`, the best that the peer speaks, is only to ask for.
    Auto, V1, Strong, Store

  SyncReason* {.pure.} = enum
    Demand, Heartbeat, Connected, Resume, Remote

  Agreement* {.pure.} = enum
    None, Weak, Strong

  SyncId* = object
    timestamp*: int64
    hash*: MessageHash

  Coverage* = object
    ## `[start, until)`, and how many peers agreed on what lies in it.
    start*, until*, comparedAt*: int64
    peers*, strong*: uint32

  SyncFigures* = object
    ## How far a sync is; the fields are those of `SyncReport`.
    missing*, surplus*, received*, sent*, dropped*, unsendable*, frames*: uint64
    reconciliationBytesOut*, reconciliationBytesIn*: uint64
    transferBytesOut*, transferBytesIn*: uint64
    rangesSettled*, idsCompared*, refused*: uint64

  SyncReport* = object
    peerId*: string
    initiator*: bool
    windowStart*, windowEnd*: int64
    durationNs*: uint64
    missing*, surplus*, received*, sent*, dropped*, unsendable*, outstanding*, frames*: uint64
    reconciliationBytesOut*, reconciliationBytesIn*: uint64
    transferBytesOut*, transferBytesIn*: uint64
    code*: int32     ## Why it broke down; 0 where it did not.
    reason*: string
    session*: uint64 ## Its number in events.
    rangesSettled*, idsCompared*, refused*: uint64
    protocol*: SyncProtocol
    begun*: SyncReason
    agreement*: Agreement
    dryRun*: bool    ## Then `missingIds` and `surplusIds` name what differs.
    missingIds*, surplusIds*: seq[SyncId]

  EventKind* {.pure.} = enum
    Other, PeerConnected, PeerDisconnected, MessageStored, SyncFinished, Lagged, SyncStarted,
    SyncProgress

  Event* = object
    case kind*: EventKind
    of EventKind.Other: discard
    of EventKind.PeerConnected, EventKind.PeerDisconnected:
      peerId*: string
    of EventKind.MessageStored:
      hash*: MessageHash
      timestamp*: int64
      pubsubTopic*, contentTopic*: string
      origin*: Origin
    of EventKind.SyncFinished:
      report*: SyncReport
    of EventKind.SyncStarted, EventKind.SyncProgress:
      session*: uint64
      partner*: string       ## With whom.
      initiator*: bool       ## These five where it has started.
      begun*: SyncReason
      protocol*: SyncProtocol
      windowStart*, windowEnd*: int64
      figures*: SyncFigures  ## Where it goes on.
    of EventKind.Lagged:
      missed*: uint64

# --- objects of the library ---

template handleType(Name, Obj, Raw, free: untyped) =
  ## A reference that frees its handle at the end of its life, with whatever memory management.
  ## (The field is not called `handle`: with threads that is a procedure of Nim's.)
  type
    Obj = object
      held: Raw
    Name* = ref Obj
  when defined(gcDestructors):
    when NimMajor >= 2:
      proc `=destroy`(x: Obj) =
        if x.held.id != 0: free(x.held)
    else:
      proc `=destroy`(x: var Obj) =
        if x.held.id != 0: free(x.held)
    proc make(_: typedesc[Name]): Name = Name()
  else:
    proc finalize(x: Name) {.nimcall.} =
      if x.held.id != 0: free(x.held)
    proc make(_: typedesc[Name]): Name = new(result, finalize)
  proc release*(x: Name) =
    ## Frees it now; it cannot be used any more.
    let raw = x.held
    x.held = Raw()
    free(raw)

handleType(OpHandle, OpHandleObj, WksOp, wks_op_free)
handleType(Queue, QueueObj, WksQueue, wks_queue_free)
handleType(Archive, ArchiveObj, WksArchive, wks_archive_free)
handleType(Page, PageObj, WksPage, wks_page_free)
handleType(History, HistoryObj, WksHistory, wks_history_free)
handleType(Node, NodeObj, WksNode, wks_node_free)
handleType(Events, EventsObj, WksEvents, wks_events_free)
handleType(Changes, ChangesObj, WksChanges, wks_changes_free)

type
  Op*[T] = object
    ## An operation that was started; freed before its end, it is cancelled.
    base: OpHandle

  Entry* = object
    ## One entry of a page. What `raw` points to lives as long as this.
    page: Page
    raw*: WksEntry

# --- errors and bytes ---

func kindOf*(code: int32): ErrorKind =
  for kind in enumutils.items(ErrorKind):
    if ord(kind) == code: return kind
  ErrorKind.Unknown

proc failure(status: cint, error: WksError): ref WakuError =
  result = newException(WakuError, "")
  result.code = status
  result.kind = kindOf(status)
  if error.id == 0:
    result.msg = "wakustore failed with status " & $status
  else:
    result.msg = $wks_error_message(error)
    result.detail = $wks_error_detail(error)
    wks_error_free(error)

template ok(call: untyped) =
  ## Makes a call whose last argument is `addr err`.
  block:
    var err {.inject.}: WksError
    let status = call
    if status != 0: raise failure(status, err)

func lend(s: string): WksBytes =
  if s.len > 0:
    result.data = cast[ptr UncheckedArray[byte]](unsafeAddr s[0])
    result.len = csize_t(s.len)

func lend(s: openArray[byte]): WksBytes =
  if s.len > 0:
    result.data = cast[ptr UncheckedArray[byte]](unsafeAddr s[0])
    result.len = csize_t(s.len)

func lend(hashes: openArray[MessageHash]): WksBytes =
  if hashes.len > 0:
    result.data = cast[ptr UncheckedArray[byte]](unsafeAddr hashes[0])
    result.len = csize_t(hashes.len * sizeof(MessageHash))

template view*(b: WksBytes): untyped =
  ## What is lent, without a copy, as an `openArray[byte]`.
  toOpenArray(b.data, 0, int(b.len) - 1)

func bytes(b: WksBytes): seq[byte] =
  result = newSeq[byte](int(b.len))
  if b.len > 0: copyMem(addr result[0], b.data, int(b.len))

func text(b: WksBytes): string =
  result = newString(int(b.len))
  if b.len > 0: copyMem(addr result[0], b.data, int(b.len))

func hashAt(p: ptr UncheckedArray[byte]): MessageHash =
  copyMem(addr result, p, sizeof(result))

template sized[T](x: var T) =
  x.structSize = csize_t(sizeof(T))

# --- operations ---

func id*(op: Op): uint64 =
  ## What a completion names the operation by.
  op.base.held.id

template starting(T: typedesc, call: untyped): untyped =
  ## Starts an operation; the call's last arguments are `op, addr err`.
  block:
    let base = make(OpHandle)
    let op {.inject.} = addr base.held
    ok call
    Op[T](base: base)

proc cancel*(op: Op) =
  ## Ends it with `Cancelled`, unless it has ended. Does not block.
  ok wks_op_cancel(op.base.held, addr err)

proc textOf(buffer: WksBuffer): string =
  defer: wks_buffer_free(buffer)
  var lent: WksBytes
  ok wks_buffer_bytes(buffer, addr lent, addr err)
  text(lent)

proc textsOf(strings: WksStrings): seq[string] =
  defer: wks_strings_free(strings)
  var count: csize_t
  ok wks_strings_count(strings, addr count, addr err)
  for i in 0 ..< int(count):
    var lent: WksBytes
    ok wks_strings_get(strings, csize_t(i), addr lent, addr err)
    result.add text(lent)

proc hashesIn(lent: WksBytes): seq[MessageHash] =
  result = newSeq[MessageHash](int(lent.len) div sizeof(MessageHash))
  if result.len > 0: copyMem(addr result[0], lent.data, int(lent.len))

proc hashesOf(hashes: WksHashes): seq[MessageHash] =
  defer: wks_hashes_free(hashes)
  var lent: WksBytes
  ok wks_hashes_bytes(hashes, addr lent, addr err)
  hashesIn(lent)

proc resultsOf(outcomes: WksOutcomes): seq[PutResult] =
  defer: wks_outcomes_free(outcomes)
  var count: csize_t
  ok wks_outcomes_count(outcomes, addr count, addr err)
  for i in 0 ..< int(count):
    var o: WksOutcome
    sized o
    ok wks_outcomes_get(outcomes, csize_t(i), addr o, addr err)
    result.add PutResult(
      hash: hashAt(o.hash), outcome: PutOutcome(o.outcome), code: o.status, reason: text(o.reason))

proc idsOf(report: WksReport, side: int32): seq[SyncId] =
  var count: csize_t
  ok wks_report_difference_count(report, side, addr count, addr err)
  for i in 0 ..< int(count):
    var id: WksSyncId
    sized id
    ok wks_report_difference(report, side, csize_t(i), addr id, addr err)
    result.add SyncId(timestamp: id.timestamp, hash: hashAt(id.hash))

proc figuresOf(event: WksEvent): SyncFigures =
  var p: WksSyncProgress
  sized p
  ok wks_event_progress(event, addr p, addr err)
  SyncFigures(
    missing: p.missing, surplus: p.surplus, received: p.received, sent: p.sent,
    dropped: p.dropped, unsendable: p.unsendable, frames: p.frames,
    reconciliationBytesOut: p.reconciliationBytesOut,
    reconciliationBytesIn: p.reconciliationBytesIn,
    transferBytesOut: p.transferBytesOut, transferBytesIn: p.transferBytesIn,
    rangesSettled: p.rangesSettled, idsCompared: p.idsCompared, refused: p.refused)

proc reportOf(report: WksReport): SyncReport =
  defer: wks_report_free(report)
  var f: WksSyncFigures
  sized f
  ok wks_report_figures(report, addr f, addr err)
  result = SyncReport(
    peerId: text(f.peerId), initiator: f.initiator != 0,
    windowStart: f.windowStart, windowEnd: f.windowEnd, durationNs: f.durationNs,
    missing: f.missing, surplus: f.surplus, received: f.received, sent: f.sent,
    dropped: f.dropped, unsendable: f.unsendable, outstanding: f.outstanding, frames: f.frames,
    reconciliationBytesOut: f.reconciliationBytesOut,
    reconciliationBytesIn: f.reconciliationBytesIn,
    transferBytesOut: f.transferBytesOut, transferBytesIn: f.transferBytesIn,
    code: f.status, reason: text(f.reason), session: f.session,
    rangesSettled: f.rangesSettled, idsCompared: f.idsCompared, refused: f.refused,
    protocol: SyncProtocol(f.protocol), begun: SyncReason(f.begun),
    agreement: Agreement(f.agreement), dryRun: f.hasDifference != 0)
  if result.dryRun:
    result.missingIds = idsOf(report, 0)
    result.surplusIds = idsOf(report, 1)

proc eventOf(event: WksEvent): Event =
  defer: wks_event_free(event)
  var i: WksEventInfo
  sized i
  ok wks_event_read(event, addr i, addr err)
  case i.kind
  of 1: Event(kind: EventKind.PeerConnected, peerId: text(i.peerId))
  of 2: Event(kind: EventKind.PeerDisconnected, peerId: text(i.peerId))
  of 3: Event(kind: EventKind.MessageStored, hash: hashAt(i.hash), timestamp: i.timestamp,
              pubsubTopic: text(i.pubsubTopic), contentTopic: text(i.contentTopic),
              origin: Origin(i.origin))
  of 4:
    var report: WksReport
    ok wks_event_report(event, addr report, addr err)
    Event(kind: EventKind.SyncFinished, report: reportOf(report))
  of 5: Event(kind: EventKind.Lagged, missed: i.lagged)
  of 6: Event(kind: EventKind.SyncStarted, session: i.session, partner: text(i.peerId),
              initiator: i.initiator != 0, begun: SyncReason(i.begun),
              protocol: SyncProtocol(i.protocol), windowStart: i.windowStart,
              windowEnd: i.windowEnd)
  of 7: Event(kind: EventKind.SyncProgress, session: i.session, partner: text(i.peerId),
              figures: figuresOf(event))
  else: Event(kind: EventKind.Other)

proc changeOf(change: WksChange): Change =
  defer: wks_change_free(change)
  var i: WksChangeInfo
  sized i
  ok wks_change_read(change, addr i, addr err)
  var messages: seq[ChangedMessage]
  for at in 0 ..< int(i.count):
    var m: WksChangeMessage
    sized m
    ok wks_change_get(change, csize_t(at), addr m, addr err)
    messages.add ChangedMessage(
      hash: hashAt(m.hash), timestamp: m.timestamp, pubsubTopic: text(m.pubsubTopic),
      contentTopic: text(m.contentTopic), origin: Origin(m.origin))
  result = case i.kind
    of 1: Change(kind: ChangeKind.Stored, messages: messages)
    of 2: Change(kind: ChangeKind.Removed, messages: messages)
    of 3: Change(kind: ChangeKind.Lagged, missed: i.lagged)
    of 4: Change(kind: ChangeKind.Expired,
                 last: SyncId(timestamp: i.timestamp, hash: hashAt(i.hash)))
    else: Change(kind: ChangeKind.Other)
  if int(i.position.len) == sizeof(Position):
    var position: Position
    copyMem(addr position, i.position.data, sizeof(position))
    result.position = some(position)

include wakustore/reports

proc take*[T](op: Op[T]): T =
  ## The result of an operation that has ended, once; raises its error.
  let handle = op.base.held
  when T is void:
    ok wks_op_status(handle, addr err)
  elif T is Archive:
    result = make(Archive)
    ok wks_op_take_archive(handle, addr result.held, addr err)
  elif T is Node:
    result = make(Node)
    ok wks_op_take_node(handle, addr result.held, addr err)
  elif T is Page:
    result = make(Page)
    ok wks_op_take_page(handle, addr result.held, addr err)
  elif T is Option[Page]:
    let page = make(Page)
    ok wks_op_take_page(handle, addr page.held, addr err)
    if page.held.id != 0: result = some(page)
  elif T is Option[Event]:
    var event: WksEvent
    ok wks_op_take_event(handle, addr event, addr err)
    if event.id != 0: result = some(eventOf(event))
  elif T is Option[Change]:
    var change: WksChange
    ok wks_op_take_change(handle, addr change, addr err)
    if change.id != 0: result = some(changeOf(change))
  elif T is Changes:
    result = make(Changes)
    ok wks_op_take_changes(handle, addr result.held, addr err)
  elif T is Position:
    var position: WksPosition
    ok wks_op_take_position(handle, addr position, addr err)
    result = position.bytes
  elif T is uint64:
    ok wks_op_take_number(handle, addr result, addr err)
  elif T is seq[PutResult]:
    var outcomes: WksOutcomes
    ok wks_op_take_outcomes(handle, addr outcomes, addr err)
    result = resultsOf(outcomes)
  elif T is seq[MessageHash]:
    var hashes: WksHashes
    ok wks_op_take_hashes(handle, addr hashes, addr err)
    result = hashesOf(hashes)
  elif T is string:
    var buffer: WksBuffer
    ok wks_op_take_buffer(handle, addr buffer, addr err)
    result = textOf(buffer)
  elif T is MessageHash:
    var buffer: WksBuffer
    ok wks_op_take_buffer(handle, addr buffer, addr err)
    defer: wks_buffer_free(buffer)
    var lent: WksBytes
    ok wks_buffer_bytes(buffer, addr lent, addr err)
    result = hashAt(lent.data)
  elif T is seq[string]:
    var strings: WksStrings
    ok wks_op_take_strings(handle, addr strings, addr err)
    result = textsOf(strings)
  elif T is seq[TopicStats]:
    var topics: WksTopics
    ok wks_op_take_topics(handle, addr topics, addr err)
    result = topicsOf(topics)
  elif T is BackupReport:
    var b: WksBackup
    sized b
    ok wks_op_take_backup(handle, addr b, addr err)
    result = BackupReport(messages: b.messages, bytes: b.bytes)
  elif T is Findings:
    var findings: WksFindings
    ok wks_op_take_findings(handle, addr findings, addr err)
    result = findingsOf(findings)
  elif T is MoveReport:
    var report: WksMove
    ok wks_op_take_move(handle, addr report, addr err)
    result = moveOf(report)
  elif T is CrossCheck:
    var check: WksCheck
    ok wks_op_take_check(handle, addr check, addr err)
    result = checkOf(check)
  elif T is SyncReport:
    var report: WksReport
    ok wks_op_take_report(handle, addr report, addr err)
    result = reportOf(report)
  elif T is Stats:
    var s: WksStats
    sized s
    ok wks_op_take_stats(handle, addr s, addr err)
    result = Stats(
      messages: s.messages, bytesOnDisk: s.bytesOnDisk, oldest: s.oldest, newest: s.newest)
  else:
    {.error: "no operation gives this".}

proc wait*[T](op: Op[T]): T =
  ## Blocks until it has ended and gives its result.
  ok wks_op_wait(op.base.held, wksForever, addr err)
  when T is void: op.take() else: result = op.take()

# --- completion queues ---

proc newQueue*(): Queue =
  result = make(Queue)
  ok wks_queue_new(addr result.held, addr err)

proc fd*(queue: Queue): int32 =
  ## Readable while there are completions; not to be read or closed.
  ok wks_queue_fd(queue.held, addr result, addr err)

proc attach*(queue: Queue, op: Op) =
  ## Has the queue tell of the operation's end, also where it has ended already.
  ok wks_op_set_queue(op.base.held, queue.held, nil, addr err)

proc poll*(queue: Queue): seq[uint64] =
  ## The ids of operations that have ended, some of them: until it is empty.
  var completions: array[64, WksCompletion]
  sized completions[0]
  var count: csize_t
  ok wks_queue_poll(
    queue.held, addr completions[0], csize_t(completions.len), addr count, addr err)
  for i in 0 ..< int(count): result.add completions[i].op.id

# --- queries and pages ---

func query*(
    contentTopics: openArray[string] = [], pubsubTopic = "", start = low(int64),
    until = high(int64), hashes: openArray[MessageHash] = [],
    cursor = none(MessageHash), direction = Direction.Forward, limit = 20,
    includeData = true): Query =
  ## All that is named must hold; times are `[start, until)` in Unix nanoseconds. `hashes` excludes
  ## the other filters.
  Query(contentTopics: @contentTopics, pubsubTopic: pubsubTopic, start: start, until: until,
        hashes: @hashes, cursor: cursor, direction: direction, limit: limit,
        includeData: includeData)

template withQuery(q: Query, body: untyped): untyped =
  ## With `what`, the library's form of a query.
  block:
    var what {.inject.}: WksQuery
    ok wks_query_new(addr what, addr err)
    defer: wks_query_free(what)
    if q.pubsubTopic.len > 0:
      ok wks_query_set_pubsub_topic(what, lend(q.pubsubTopic), addr err)
    for topic in q.contentTopics:
      ok wks_query_add_content_topic(what, lend(topic), addr err)
    ok wks_query_set_time(what, q.start, q.until, addr err)
    ok wks_query_set_hashes(what, lend(q.hashes), addr err)
    if q.cursor.isSome:
      let cursor = q.cursor.get
      ok wks_query_set_cursor(what, lend(cursor), addr err)
    ok wks_query_set_direction(what, int32(ord(q.direction)), addr err)
    ok wks_query_set_limit(what, csize_t(max(q.limit, 0)), addr err)
    ok wks_query_set_include_data(what, uint8(q.includeData), addr err)
    body

proc len*(page: Page): int =
  var count: csize_t
  ok wks_page_count(page.held, addr count, addr err)
  int(count)

proc `[]`*(page: Page, index: int): Entry =
  result.page = page
  sized result.raw
  ok wks_page_entry(page.held, csize_t(index), addr result.raw, addr err)

iterator items*(page: Page): Entry =
  for i in 0 ..< page.len: yield page[i]

proc cursor*(page: Page): Option[MessageHash] =
  ## Where to go on; none where nothing more matches.
  var lent: WksBytes
  ok wks_page_cursor(page.held, addr lent, addr err)
  if lent.len > 0:
    result = some(hashAt(lent.data))

func hash*(entry: Entry): MessageHash = hashAt(entry.raw.hash)

func messageOf(e: WksEntry): Message =
  Message(
    pubsubTopic: text(e.pubsubTopic), contentTopic: text(e.contentTopic),
    payload: bytes(e.payload),
    timestamp: if e.hasTimestamp != 0: some(e.timestamp) else: none(int64),
    meta: if e.hasMeta != 0: some(bytes(e.meta)) else: none(seq[byte]),
    version: if e.hasVersion != 0: some(e.version) else: none(uint32),
    rateLimitProof:
      if e.hasRateLimitProof != 0: some(bytes(e.rateLimitProof)) else: none(seq[byte]),
    ephemeral: if e.hasEphemeral != 0: some(e.ephemeral != 0) else: none(bool))

func message*(entry: Entry): Option[Message] =
  ## A copy of the message, where whole messages were asked for.
  if entry.raw.hasData != 0: some(messageOf(entry.raw)) else: none(Message)

proc next*(history: History): Op[Option[Page]] =
  ## The next page; none at the end. After an error or a cancel the walk stands where it was.
  starting(Option[Page], wks_history_next_async(history.held, op, addr err))

proc cursor*(history: History): MessageHash =
  ## Where to resume after the pages that were given: a query's cursor; all zero at the beginning.
  var hash: WksHash
  ok wks_history_cursor(history.held, addr hash, addr err)
  hash.bytes

# --- the archive ---

# A validator is other people's code on a thread of the library's: what it may use there depends on
# Nim's memory management, which has to know of threads at all.
when compileOption("threads"):
  type
    Batch* = object
      ## Messages that a validator is asked about. It lives until the validator returns.
      held: WksBatch

    Validator* = proc (batch: Batch, user: pointer) {.nimcall, gcsafe, raises: [].}
      ## Judges each message of the batch before it is committed; one that it does not judge is
      ## refused as `Busy`. It is called on a thread that the library has for it, one batch at a
      ## time, must not block on the library, and is given up on after its time limit.

    ValidatorBox = object
      validate: Validator
      user: pointer

  proc len*(batch: Batch): int =
    var count: csize_t
    ok wks_batch_count(batch.held, addr count, addr err)
    int(count)

  proc origin*(batch: Batch): Origin =
    var origin: int32
    ok wks_batch_origin(batch.held, addr origin, addr err)
    Origin(origin)

  proc raw*(batch: Batch, index: int): WksEntry =
    ## A message without a copy; what it points to lives until the validator returns.
    sized result
    ok wks_batch_entry(batch.held, csize_t(index), addr result, addr err)

  proc `[]`*(batch: Batch, index: int): Message =
    ## A copy of a message.
    messageOf(batch.raw(index))

  proc judge*(batch: Batch, index: int, verdict: Verdict, reason = "") =
    ok wks_batch_judge(batch.held, csize_t(index), int32(ord(verdict)), lend(reason), addr err)

  proc judgeAll*(batch: Batch, verdict: Verdict, reason = "") =
    ok wks_batch_judge_all(batch.held, int32(ord(verdict)), lend(reason), addr err)

  proc callValidator(batch: WksBatch, user: pointer) {.cdecl, gcsafe, raises: [].} =
    let box = cast[ptr ValidatorBox](user)
    when not defined(gcDestructors):
      setupForeignThreadGc()
      defer: tearDownForeignThreadGc()
    box.validate(Batch(held: batch), box.user)

  proc dropValidator(user: pointer) {.cdecl, gcsafe, raises: [].} =
    deallocShared(user)

  proc setValidator(options: WksArchiveOptions, validate: Validator, user: pointer,
                    timeoutMs: uint64) =
    if validate == nil: return
    let box = cast[ptr ValidatorBox](allocShared0(sizeof(ValidatorBox)))
    box.validate = validate
    box.user = user
    ok wks_archive_options_set_validator(
      options, callValidator, timeoutMs, box, dropValidator, addr err)

template withArchiveOptions(path: string, durability: Durability, readers: int,
                            clockToleranceMs: int, checkLiveAge: bool, maxQueuedBytes: int,
                            maxAgeMs, maxMessages, maxBytes: uint64, body: untyped) =
  block:
    var options {.inject.}: WksArchiveOptions
    ok wks_archive_options_new(addr options, addr err)
    defer: wks_archive_options_free(options)
    ok wks_archive_options_set_path(options, lend(path), addr err)
    ok wks_archive_options_set_durability(options, int32(ord(durability)), addr err)
    if readers >= 0: ok wks_archive_options_set_readers(options, uint32(readers), addr err)
    if clockToleranceMs >= 0:
      ok wks_archive_options_set_clock_tolerance(options, uint64(clockToleranceMs), addr err)
    ok wks_archive_options_set_check_live_age(options, uint8(checkLiveAge), addr err)
    if maxQueuedBytes >= 0:
      ok wks_archive_options_set_max_queued_bytes(options, csize_t(maxQueuedBytes), addr err)
    ok wks_archive_options_set_max_age(options, maxAgeMs, addr err)
    ok wks_archive_options_set_max_messages(options, maxMessages, addr err)
    ok wks_archive_options_set_max_bytes(options, maxBytes, addr err)
    body

proc openArchive*(
    path: string, durability = Durability.Full, readers = -1, clockToleranceMs = -1,
    checkLiveAge = true, maxQueuedBytes = -1, maxAgeMs = wksUnbounded,
    maxMessages = wksUnbounded, maxBytes = wksUnbounded): Op[Archive] =
  ## Opens the archive in this file, or creates it; ":memory:" keeps it in memory. Beyond
  ## `maxAgeMs`, `maxMessages` or `maxBytes` (on disk) the oldest messages are removed, in small
  ## steps. What is -1 is as the library has it.
  withArchiveOptions(path, durability, readers, clockToleranceMs, checkLiveAge, maxQueuedBytes,
                     maxAgeMs, maxMessages, maxBytes):
    result = starting(Archive, wks_archive_open_async(options, op, addr err))

when compileOption("threads"):
  proc openArchive*(
      path: string, validate: Validator, user: pointer = nil, validatorTimeoutMs = 10_000'u64,
      durability = Durability.Full, readers = -1, clockToleranceMs = -1, checkLiveAge = true,
      maxQueuedBytes = -1, maxAgeMs = wksUnbounded, maxMessages = wksUnbounded,
      maxBytes = wksUnbounded): Op[Archive] =
    ## The same, with a validator that sees each batch of messages before it is committed, and is
    ## called with `user`, which must live as long as the archive. (Compile with `--threads:on`.)
    withArchiveOptions(path, durability, readers, clockToleranceMs, checkLiveAge, maxQueuedBytes,
                       maxAgeMs, maxMessages, maxBytes):
      setValidator(options, validate, user, validatorTimeoutMs)
      result = starting(Archive, wks_archive_open_async(options, op, addr err))

func lend(m: Message): WksMessage =
  sized result
  result.pubsubTopic = lend(m.pubsubTopic)
  result.contentTopic = lend(m.contentTopic)
  result.payload = lend(m.payload)
  if m.timestamp.isSome:
    result.hasTimestamp = 1
    result.timestamp = m.timestamp.unsafeGet
  if m.meta.isSome:
    result.hasMeta = 1
    result.meta = lend(m.meta.unsafeGet)
  if m.version.isSome:
    result.hasVersion = 1
    result.version = m.version.unsafeGet
  if m.rateLimitProof.isSome:
    result.hasRateLimitProof = 1
    result.rateLimitProof = lend(m.rateLimitProof.unsafeGet)
  if m.ephemeral.isSome:
    result.hasEphemeral = 1
    result.ephemeral = uint8(m.ephemeral.unsafeGet)

proc put*(archive: Archive, messages: openArray[Message], origin = Origin.Live): Op[seq[PutResult]] =
  ## Stores messages in one commit, and tells for each what became of it.
  var lent = newSeq[WksMessage](messages.len)
  for i in 0 ..< messages.len: lent[i] = lend(messages[i])
  let first = if lent.len > 0: addr lent[0] else: nil
  starting(seq[PutResult], wks_archive_put_async(
    archive.held, first, csize_t(lent.len), int32(ord(origin)), op, addr err))

proc query*(archive: Archive, q: Query): Op[Page] =
  ## One page.
  withQuery(q): result = starting(Page, wks_archive_query_async(
    archive.held, what, op, addr err))

proc history*(archive: Archive, q: Query): History =
  ## A walk through all that matches, page by page.
  result = make(History)
  withQuery(q): ok wks_archive_history(archive.held, what, addr result.held, addr err)

proc get*(archive: Archive, hashes: openArray[MessageHash]): Op[Page] =
  ## Those of the messages that are held.
  starting(Page, wks_archive_get_async(archive.held, lend(hashes), op, addr err))

proc missing*(archive: Archive, hashes: openArray[MessageHash]): Op[seq[MessageHash]] =
  ## Those of the hashes that are neither held nor taken down. Any number of them.
  starting(seq[MessageHash], wks_archive_missing_async(
    archive.held, lend(hashes), op, addr err))

proc takeDown*(archive: Archive, hashes: openArray[MessageHash]): Op[uint64] =
  ## Takes messages down: removed, where they are held, and never taken in again, from wherever
  ## they come (`TakenDown`). Gives how many were held. At most 100,000 in one call.
  starting(uint64, wks_archive_take_down_async(archive.held, lend(hashes), op, addr err))

proc floor*(archive: Archive): int64 =
  ## The lowest timestamp that is kept and taken in; `low(int64)` where nothing bounds it.
  ok wks_archive_floor(archive.held, addr result, addr err)

proc changes*(archive: Archive, capacity = 10_000): Changes =
  ## What is committed from now on. Up to `capacity` messages wait for the reader; what is beyond
  ## that it is told to have missed.
  result = make(Changes)
  ok wks_archive_subscribe(
    archive.held, csize_t(max(capacity, 0)), addr result.held, addr err)

proc changesFrom*(archive: Archive, position = none(Position), capacity = 10_000): Op[Changes] =
  ## Everything after a position, each change once: what lies behind, then what is committed.
  ## Without one it begins with all messages that are held. `PositionGone` says to begin so.
  var bytes: Position
  if position.isSome: bytes = position.unsafeGet
  let lent = if position.isSome: lend(bytes) else: WksBytes()
  starting(Changes, wks_archive_subscribe_from_async(
    archive.held, lent, csize_t(max(capacity, 0)), op, addr err))

proc position*(archive: Archive): Op[Position] =
  ## Where the changes stand now.
  starting(Position, wks_archive_position_async(archive.held, op, addr err))

proc next*(changes: Changes): Op[Option[Change]] =
  ## The next change; none once the archive is closed. A cancel loses none.
  starting(Option[Change], wks_changes_next_async(changes.held, op, addr err))

proc stats*(archive: Archive): Op[Stats] =
  starting(Stats, wks_archive_stats_async(archive.held, op, addr err))

proc close*(archive: Archive): Op[void] =
  ## Commits what was accepted and closes the file.
  starting(void, wks_archive_close_async(archive.held, op, addr err))

include wakustore/tools

# --- the node ---

proc startNode*(
    archive: Archive, listen: openArray[string] = [], clusterId = 0'u32,
    shards: openArray[uint32] = [], keyFile = "", stateFile = "",
    syncOnConnect = true, relay = false): Op[Node] =
  ## Starts a node over an archive and listens. In `stateFile` it keeps when it was last online and
  ## with whom it agrees over what. With `relay` it takes part in gossipsub, from the start in the
  ## topics of its shards, and stores what comes.
  var options: WksNodeOptions
  ok wks_node_options_new(addr options, addr err)
  defer: wks_node_options_free(options)
  for address in listen: ok wks_node_options_add_listen(options, lend(address), addr err)
  ok wks_node_options_set_cluster_id(options, clusterId, addr err)
  for shard in shards: ok wks_node_options_add_shard(options, shard, addr err)
  if keyFile.len > 0: ok wks_node_options_set_identity_file(options, lend(keyFile), addr err)
  if stateFile.len > 0: ok wks_node_options_set_state_file(options, lend(stateFile), addr err)
  ok wks_node_options_set_sync_on_connect(options, uint8(syncOnConnect), addr err)
  ok wks_node_options_set_relay(options, uint8(relay), addr err)
  starting(Node, wks_node_start_async(options, archive.held, op, addr err))

proc peerId*(node: Node): string =
  var buffer: WksBuffer
  ok wks_node_peer_id(node.held, addr buffer, addr err)
  textOf(buffer)

proc addresses*(node: Node): seq[string] =
  ## Where it listens, each ending in its peer id.
  var strings: WksStrings
  ok wks_node_addresses(node.held, addr strings, addr err)
  textsOf(strings)

proc peers*(node: Node): seq[string] =
  ## The peers that are connected now.
  var strings: WksStrings
  ok wks_node_peers(node.held, addr strings, addr err)
  textsOf(strings)

proc dial*(node: Node, address: string): Op[string] =
  ## Connects to an address and gives the peer id.
  starting(string, wks_node_dial_async(node.held, lend(address), op, addr err))

proc disconnect*(node: Node, peer: string): Op[void] =
  starting(void, wks_node_disconnect_async(node.held, lend(peer), op, addr err))

proc history*(node: Node, peer: string, q: Query): History =
  ## A walk through a store peer's history, page by page.
  result = make(History)
  withQuery(q):
    ok wks_node_history(node.held, lend(peer), what, addr result.held, addr err)

include wakustore/walks

proc sync*(node: Node, peer: string): Op[SyncReport] =
  ## Syncs the node's window with a peer. Cancelling ends the session.
  starting(SyncReport, wks_node_sync_async(node.held, lend(peer), nil, op, addr err))

proc sync*(node: Node, peer: string, start, until: int64, dryRun = false,
           protocol = SyncProtocol.Auto): Op[SyncReport] =
  ## Syncs `[start, until)`, in Unix nanoseconds; a dry run only compares.
  var options: WksSyncOptions
  sized options
  options.hasWindow = 1
  options.windowStart = start
  options.windowEnd = until
  options.dryRun = uint8(dryRun)
  options.protocol = int32(protocol)
  starting(SyncReport, wks_node_sync_async(
    node.held, lend(peer), addr options, op, addr err))

proc cancelSync*(node: Node, session: uint64) =
  ## Gives a sync up, by the number that events tell. Nothing happens where it has ended.
  ok wks_node_cancel_sync(node.held, session, addr err)

proc coverage*(node: Node): seq[Coverage] =
  ## With how many peers the node agrees over which spans of time, in ascending order.
  var coverage: WksCoverage
  ok wks_node_coverage(node.held, addr coverage, addr err)
  defer: wks_coverage_free(coverage)
  var count: csize_t
  ok wks_coverage_count(coverage, addr count, addr err)
  for i in 0 ..< int(count):
    var s: WksCoverageSpan
    sized s
    ok wks_coverage_get(coverage, csize_t(i), addr s, addr err)
    result.add Coverage(
      start: s.start, until: s.until, comparedAt: s.comparedAt, peers: s.peers, strong: s.strong)

proc events*(node: Node): Events =
  ## From now on, what happens.
  result = make(Events)
  ok wks_node_events(node.held, addr result.held, addr err)

proc next*(events: Events): Op[Option[Event]] =
  ## The next event; none once the node has stopped. A cancel loses none.
  starting(Option[Event], wks_events_next_async(events.held, op, addr err))

proc stop*(node: Node): Op[void] =
  starting(void, wks_node_stop_async(node.held, op, addr err))

# --- the library ---

proc wakustoreVersion*(): string = $wks_version()

proc shutdownWakustore*(timeoutMs = 10_000) =
  ## Ends all that runs in the library and joins its threads. (A process that exits without it ends
  ## in order all the same.)
  ok wks_shutdown(uint64(timeoutMs), addr err)
