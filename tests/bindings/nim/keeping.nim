## What an archive keeps and takes in, from Nim: retention, takedowns, a validator; its changes; and
## that this binding knows every error of the library.

import std/[asyncdispatch, options, os, strutils, tempfiles, times]
import ../../../bindings/nim/wakustore
import ../../../bindings/nim/wakustore/[abi, completions]

const topic = "/waku/2/rs/16/3"

proc check(holds: bool, otherwise: string) =
  if not holds: raise newException(CatchableError, otherwise)

proc now(): int64 =
  let time = getTime()
  time.toUnix * 1_000_000_000 + time.nanosecond

proc message(payload: string, timestamp = now()): Message =
  Message(pubsubTopic: topic, contentTopic: "/nim-test/1/chat/proto",
          payload: cast[seq[byte]](payload), timestamp: some(timestamp))

proc numbered(count: int): seq[Message] =
  let last = now()
  for i in 0 ..< count: result.add message($i, last - int64(count - 1 - i))

proc kinds(results: seq[PutResult]): seq[ErrorKind] =
  for r in results: result.add kindOf(r.code)

proc cName(kind: string): string =
  result = "WKS_ERR"
  for c in kind:
    if c.isUpperAscii: result.add '_'
    result.add c.toUpperAscii

proc everyErrorIsKnown() =
  var known = 0
  for code in 1'i32 ..< 1000:
    let name = $wks_status_name(code)
    if name == "WKS_ERR_UNKNOWN": continue
    inc known
    check name == cName($kindOf(code)), name & " is not " & $kindOf(code)
  check known > 40, "the library tells of " & $known & " errors"

proc retention(loop: Completions) {.async.} =
  let archive = await loop.wait openArchive(":memory:", maxMessages = 2, maxAgeMs = 3_600_000)
  let changes = archive.changes()
  let messages = numbered(5)
  let results = await loop.wait archive.put(messages)
  var change = (await loop.wait changes.next()).get
  check change.kind == ChangeKind.Stored and change.messages.len == 5, $change
  check change.messages[4].hash == results[4].hash and
    change.messages[4].pubsubTopic == topic and change.messages[4].origin == Origin.Live, $change
  var removed = 0
  while removed < 3:
    change = (await loop.wait changes.next()).get
    check change.kind == ChangeKind.Removed and
      change.messages[0].hash == results[removed].hash, $change
    removed += change.messages.len
  check (await loop.wait archive.stats()).messages == 2, "two are kept"
  check archive.floor == messages[2].timestamp.get + 1, $archive.floor
  let refused = await loop.wait archive.put([messages[0]], Origin.Sync)
  check refused.kinds == @[ErrorKind.TimestampTooOld], $refused
  await loop.wait archive.close()
  check (await loop.wait changes.next()).isNone, "the feed has ended"
  try:
    discard openArchive(":memory:", maxBytes = 0)
    check false, "a bound of nothing was taken"
  except WakuError as e:
    check e.kind == ErrorKind.InvalidArgument, e.msg

proc takedowns(loop: Completions) {.async.} =
  let archive = await loop.wait openArchive(
    ":memory:", Durability.Normal, readers = 1, clockToleranceMs = 1000, checkLiveAge = false,
    maxQueuedBytes = 1 shl 20)
  let messages = numbered(3)
  let results = await loop.wait archive.put(messages)
  let changes = archive.changes(capacity = 1)
  check (await loop.wait archive.takeDown([results[1].hash])) == 1, "it was held"
  check (await loop.wait archive.takeDown([results[1].hash])) == 0, "it is gone"
  check (await loop.wait archive.missing([results[1].hash])).len == 0, "nobody misses it"
  let again = await loop.wait archive.put([messages[1], messages[2]], Origin.Import)
  check again.kinds == @[ErrorKind.TakenDown, ErrorKind.Unknown], $again
  check (await loop.wait changes.next()).get.kind == ChangeKind.Removed, "of the takedown"
  for i in 0 ..< 3: discard await loop.wait archive.put([message("more " & $i)])
  check (await loop.wait changes.next()).get.messages.len == 1, "there was room for one"
  let lagged = (await loop.wait changes.next()).get
  check lagged.kind == ChangeKind.Lagged and lagged.missed == 2, $lagged
  let more = await loop.wait archive.changesFrom(lagged.position)
  var missed = 0
  var reached: Option[Position]
  while missed < 2:
    let change = (await loop.wait more.next()).get
    missed += change.messages.len
    reached = change.position
  check reached == some(await loop.wait archive.position()), "all was told"
  let all = await loop.wait archive.changesFrom()
  check (await loop.wait all.next()).get.kind == ChangeKind.Stored, "from the beginning"
  await loop.wait archive.close()

type Seen = object
  batches, messages: int

# On a thread of the library's: it allocates, as anything does.
proc judge(batch: Batch, user: pointer) {.nimcall, gcsafe, raises: [].} =
  let seen = cast[ptr Seen](user)
  try:
    inc seen.batches
    for i in 0 ..< batch.len:
      inc seen.messages
      let payload = cast[string](batch[i].payload)
      if payload.startsWith "bad": batch.judge(i, Verdict.Invalid, "no " & payload)
      elif payload != "later": batch.judge(i, Verdict.Valid)
    if batch.origin == Origin.Import: batch.judgeAll(Verdict.Unknown)
  except CatchableError:
    discard

proc validator(loop: Completions) {.async.} =
  var seen = cast[ptr Seen](allocShared0(sizeof(Seen)))
  let archive = await loop.wait openArchive(":memory:", judge, seen, checkLiveAge = false)
  var results = await loop.wait archive.put([message("good"), message("bad"), message("later")])
  check results.kinds == @[ErrorKind.Unknown, ErrorKind.ValidatorRefused, ErrorKind.Busy], $results
  check results[1].reason == "no bad", results[1].reason
  results = await loop.wait archive.put([message("imported")], Origin.Import)
  check results.kinds == @[ErrorKind.Busy], $results
  for i in 0 ..< 100:
    let puts = await loop.wait archive.put(numbered(20))
    check puts.len == 20, $puts
  await loop.wait archive.close()
  archive.release()
  check seen[].batches == 102 and seen[].messages == 2004, $seen[]
  deallocShared(seen)

proc tools(loop: Completions) {.async.} =
  let dir = createTempDir("wakustore-", "-nim")
  defer: removeDir(dir)
  let archive = await loop.wait openArchive(dir / "own.db", checkLiveAge = false)
  let messages = numbered(12)
  discard await loop.wait archive.put(messages)
  let topics = await loop.wait archive.topicStats(TopicKind.Pubsub)
  check topics.len == 1 and topics[0].name == topic and topics[0].messages == 12, $topics
  let backup = await loop.wait archive.backup(dir / "backup.db")
  check backup.messages == 12 and backup.bytes > 0, $backup
  try:
    discard await loop.wait archive.backup(dir / "backup.db")
    check false, "a file was written over"
  except WakuError as e:
    check e.msg.len > 0, e.msg
  let sound = await loop.wait archive.verify()
  check sound.messages == 12 and sound.count == 0 and sound.listed.len == 0, $sound

  let moved = await loop.wait archive.exportNwaku(query(), dir / "nwaku.db", limit = 5)
  check moved.written >= 5 and not moved.complete and moved.position.len > 0, $moved
  let rest = await loop.wait archive.exportNwaku(query(), dir / "nwaku.db", moved.position)
  check moved.written + rest.written == 12 and rest.complete, $rest
  let other = await loop.wait openArchive(":memory:")
  let come = await loop.wait other.importNwaku(dir / "nwaku.db")
  check come.written == 12 and come.refused == 0 and come.complete, $come

  check (await loop.wait archive.takeDownMatching(
    query(until = messages[2].timestamp.get))) == 2, "two are taken down"
  await loop.wait archive.close()
  let restored = await loop.wait restoreArchive(dir / "backup.db", dir / "restored.db")
  check restored.messages == 12, $restored
  let brought = await loop.wait salvageArchive(dir / "own.db", dir / "new.db")
  check brought.messages == 10 and brought.tombstones == 2 and brought.count == 0, $brought

proc walks(loop: Completions) {.async.} =
  var archives: seq[Archive]
  var nodes: seq[Node]
  for i in 0 ..< 3:
    archives.add await loop.wait openArchive(":memory:", checkLiveAge = false)
    nodes.add await loop.wait startNode(
      archives[i], if i == 0: @[] else: @["/ip4/127.0.0.1/tcp/0"], clusterId = 16,
      shards = [3'u32], syncOnConnect = false, relay = true)
  let messages = numbered(30)
  var hashes: seq[MessageHash]
  for r in await loop.wait archives[1].put(messages): hashes.add r.hash
  discard await loop.wait archives[2].put(messages[20 .. 29])
  let peers = @[nodes[1].addresses[0], nodes[2].addresses[0]]

  let walk = nodes[0].historyOf(
    @["/ip4/127.0.0.1/tcp/1/p2p/" & nodes[0].peerId, peers[0]], query(limit = 7))
  var seen: seq[MessageHash]
  while true:
    let page = await loop.wait walk.next()
    if page.isNone: break
    for entry in page.get: seen.add entry.hash
  check seen == hashes, $seen.len & " of 30"

  var asked = hashes
  var nobodys: MessageHash
  nobodys[0] = 1
  asked.add nobodys
  check (await loop.wait nodes[0].presence(peers[1], asked)) == hashes[20 .. 29], "ten are there"
  let page = await loop.wait nodes[0].fetch(asked, peers)
  var at = 0
  for entry in page:
    check entry.hash == asked[at] and entry.message.isSome == (at < 30), "entry " & $at
    inc at
  check at == 31, $at
  let told = await loop.wait nodes[0].crossCheck(peers, query())
  check told.hashes == hashes and told.peers.len == 2, $told.hashes.len
  check told.peers[0].omitted.len == 0 and told.peers[1].omitted == hashes[0 .. 19], "who omits"
  check told.peers[1].told == 10 and told.peers[1].code == 0, told.peers[1].reason

  # Over relay, once the peer is known to take part.
  discard await loop.wait nodes[0].dial(peers[0])
  while (await loop.wait nodes[0].relayPeers(topic)).len == 0: await sleepAsync(20)
  let events = nodes[1].events()
  let sent = await loop.wait nodes[0].publish(message("over relay"))
  while true:
    let event = (await loop.wait events.next()).get
    if event.kind == EventKind.MessageStored and event.hash == sent: break
  await loop.wait nodes[0].unsubscribe(topic)
  await loop.wait nodes[0].subscribe(topic)
  for node in nodes: await loop.wait node.stop()
  for archive in archives: await loop.wait archive.close()

proc run() {.async.} =
  let loop = newCompletions()
  await loop.tools()
  await loop.walks()
  await loop.retention()
  await loop.takedowns()
  await loop.validator()
  loop.close()

when isMainModule:
  everyErrorIsKnown()
  waitFor run()
  shutdownWakustore()
  echo "what an archive keeps and takes in: as expected"
