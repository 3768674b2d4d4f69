## What the library tells of larger work, as Nim values. A part of `wakustore.nim`, which includes it.

type
  PeerCheck* = object
    ## What one peer told in a cross-check. Of `omitted` others told and it did not; where `code` is
    ## not 0 its answer broke off, and they say nothing.
    peer*: string
    told*: int
    omitted*: seq[MessageHash]
    code*: int32
    reason*: string

  CrossCheck* = object
    ## What several store peers told when they were asked the same.
    hashes*: seq[MessageHash]
    peers*: seq[PeerCheck]

  TopicKind* {.pure.} = enum
    Pubsub, Content

  TopicStats* = object
    ## Figures of one topic; `bytes` are those of payloads, metas and rate limit proofs.
    name*: string
    messages*, bytes*: uint64
    oldest*, newest*: int64

  BackupReport* = object
    messages*, bytes*: uint64

  FindingKind* {.pure.} = enum
    Other, HashMismatch, Unreadable, Invalid, Structure, Figure

  Finding* = object
    ## One thing that does not fit, and the message that it is about where that can be told.
    kind*: FindingKind
    hash*: Option[MessageHash]
    detail*: string

  Findings* = object
    ## What a check found or a salvage lost: `count` things, the first 1,000 of them in `listed`.
    messages*, tombstones*, count*: uint64
    listed*: seq[Finding]

  RefusedRow* = object
    ## A row of a nwaku archive that was not brought over, and why.
    row*: seq[byte]
    timestamp*: int64
    code*: int32
    reason*: string

  MoveReport* = object
    ## What an import or export did. `position` is where to go on, unless it is `complete`.
    read*, written*, duplicates*, refused*, rehashed*, unhashed*, withoutProof*: uint64
    complete*: bool
    position*: seq[byte]
    rows*: seq[RefusedRow]

proc checkOf(check: WksCheck): CrossCheck =
  defer: wks_check_free(check)
  var lent: WksBytes
  ok wks_check_hashes(check, addr lent, addr err)
  result.hashes = hashesIn(lent)
  var count: csize_t
  ok wks_check_count(check, addr count, addr err)
  for i in 0 ..< int(count):
    var told: WksCheckPeer
    sized told
    ok wks_check_get(check, csize_t(i), addr told, addr err)
    result.peers.add PeerCheck(
      peer: text(told.peer), told: int(told.told), omitted: hashesIn(told.omitted),
      code: told.status, reason: text(told.reason))

proc topicsOf(topics: WksTopics): seq[TopicStats] =
  defer: wks_topics_free(topics)
  var count: csize_t
  ok wks_topics_count(topics, addr count, addr err)
  for i in 0 ..< int(count):
    var s: WksTopicStats
    sized s
    ok wks_topics_get(topics, csize_t(i), addr s, addr err)
    result.add TopicStats(
      name: text(s.name), messages: s.messages, bytes: s.bytes, oldest: s.oldest,
      newest: s.newest)

proc findingsOf(findings: WksFindings): Findings =
  defer: wks_findings_free(findings)
  var info: WksFindingsInfo
  sized info
  ok wks_findings_read(findings, addr info, addr err)
  result = Findings(
    messages: info.messages, tombstones: info.tombstones, count: info.count)
  for i in 0 ..< int(info.listed):
    var f: WksFinding
    sized f
    ok wks_findings_get(findings, csize_t(i), addr f, addr err)
    let kind = if f.kind in 1 .. 5: FindingKind(f.kind) else: FindingKind.Other
    let hash = if f.hash == nil: none(MessageHash) else: some(hashAt(f.hash))
    result.listed.add Finding(kind: kind, hash: hash, detail: text(f.detail))

proc moveOf(report: WksMove): MoveReport =
  defer: wks_move_free(report)
  var i: WksMoveInfo
  sized i
  ok wks_move_read(report, addr i, addr err)
  result = MoveReport(
    read: i.read, written: i.written, duplicates: i.duplicates, refused: i.refused,
    rehashed: i.rehashed, unhashed: i.unhashed, withoutProof: i.withoutProof,
    complete: i.complete != 0, position: bytes(i.position))
  for at in 0 ..< int(i.listed):
    var row: WksRefusedRow
    sized row
    ok wks_move_refused(report, csize_t(at), addr row, addr err)
    result.rows.add RefusedRow(
      row: bytes(row.row), timestamp: row.timestamp, code: row.status, reason: text(row.reason))
