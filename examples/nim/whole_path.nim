## The whole path from Nim: an archive, a node, a peer's history, a sync, in one event loop.
##
##   whole_path DIR ADDRESS COUNT
##
## Puts some messages into DIR/own.db, reads the history of the peer at ADDRESS, which holds COUNT
## messages of the last hour, and syncs with it. Prints a line a step; anything unexpected ends it.

import std/[asyncdispatch, os, sequtils, sets, strutils, times]
import ../../bindings/nim/wakustore
import ../../bindings/nim/wakustore/completions

const
  cluster = 16'u32
  shard = 3'u32
  contentTopic = "/nim-example/1/chat/proto"
  own = 40
  hour = 3_600_000_000_000'i64

proc say(line: string) =
  stdout.writeLine line
  stdout.flushFile()

proc check(holds: bool, otherwise: string) =
  if not holds: raise newException(CatchableError, otherwise)

proc now(): int64 =
  let time = getTime()
  time.toUnix * 1_000_000_000 + time.nanosecond

proc ownMessages(): seq[Message] =
  let last = now()
  for i in 0 ..< own:
    result.add Message(
      pubsubTopic: "/waku/2/rs/" & $cluster & "/" & $shard,
      contentTopic: contentTopic,
      payload: toSeq(0 ..< i * i * 7).mapIt(byte((it + i) and 255)),
      timestamp: some(last - int64(own - i) * 1000),
      meta: if i mod 2 == 0: some(@[byte(i)]) else: none(seq[byte]))

proc putAndQuery(loop: Completions, archive: Archive) {.async.} =
  let messages = ownMessages()
  let results = await loop.wait archive.put(messages)
  check results.allIt(it.outcome == PutOutcome.Stored), "not all was stored: " & $results

  let walk = archive.history(query(contentTopics = [contentTopic], limit = 15))
  var pages, at = 0
  while true:
    let page = await loop.wait walk.next()
    if page.isNone: break
    inc pages
    for entry in page.get:
      check entry.hash == results[at].hash, "message " & $at & " is not the one put there"
      check entry.message.get == messages[at], "message " & $at & " differs"
      inc at
  check at == own, $at & " of " & $own & " came back"
  say "put " & $own & " messages and read them back in " & $pages & " pages, byte for byte"

proc catchAnError(loop: Completions, archive: Archive) {.async.} =
  var unknown: MessageHash
  for b in unknown.mitems: b = 0x5a
  try:
    discard await loop.wait archive.query(query(cursor = some(unknown)))
    check false, "an unknown cursor was taken"
  except WakuError as e:
    check e.kind == ErrorKind.CursorNotFound, e.msg
    say "an unknown cursor: " & $e.kind & " (" & $e.code & "): " & e.msg.splitLines[0]

# An operation that waits for an event is cancelled, which takes no event away from the next.
proc connect(loop: Completions, node: Node, address: string): Future[string] {.async.} =
  let events = node.events()
  let op = events.next()
  let waiting = loop.wait op
  op.cancel()
  try:
    let event = await waiting
    check false, "the wait was not cancelled: " & $event
  except WakuError as e:
    check e.kind == ErrorKind.Cancelled, e.msg
    say "cancelled a wait for an event"
  let peer = await loop.wait node.dial(address)
  let event = await loop.wait events.next()
  check event.isSome and event.get.kind == EventKind.PeerConnected and
    event.get.peerId == peer, $event
  say "connected to " & peer
  return peer

proc readHistory(loop: Completions, node: Node, peer: string, count: int) {.async.} =
  var hashes: HashSet[MessageHash]
  var pages, bytes = 0
  let walk = node.history(peer, query(limit = 50))
  while true:
    let page = await loop.wait walk.next()
    if page.isNone: break
    inc pages
    for entry in page.get:
      hashes.incl entry.hash
      bytes += entry.raw.payload.view.len
  check hashes.len == count,
    $hashes.len & " messages in the peer's history, expected " & $count
  say "read the peer's history: " & $hashes.len & " messages, " & $bytes & " bytes, " &
    $pages & " pages"

proc sync(loop: Completions, node: Node, peer: string, count: int) {.async.} =
  let until = now()
  let dry = await loop.wait node.sync(peer, until - hour, until, dryRun = true)
  check dry.missingIds.len == count and dry.surplusIds.len == own and dry.received == 0, $dry
  let report = await loop.wait node.sync(peer, until - hour, until)
  check report.received == uint64(count) and report.sent == uint64(own), $report
  check report.code == 0 and report.outstanding == 0, $report
  say "synced: received " & $report.received & ", sent " & $report.sent & ", " &
    $report.frames & " frames, " & $(report.durationNs div 1_000_000) & " ms"

proc run(dir, address: string, count: int) {.async.} =
  let loop = newCompletions()
  let archive = await loop.wait openArchive(dir / "own.db")
  await loop.putAndQuery(archive)
  await loop.catchAnError(archive)

  let node = await loop.wait archive.startNode(
    listen = ["/ip4/127.0.0.1/tcp/0"], clusterId = cluster, shards = [shard],
    syncOnConnect = false)
  say "a node at " & node.addresses[0]
  let peer = await loop.connect(node, address)
  await loop.readHistory(node, peer, count)
  await loop.sync(node, peer, count)

  await loop.wait node.stop()
  let held = (await loop.wait archive.stats()).messages
  check held == uint64(own + count),
    $held & " messages are held, expected " & $(own + count)
  await loop.wait archive.close()
  loop.close()

when isMainModule:
  if paramCount() != 3: quit "usage: whole_path DIR ADDRESS COUNT", 2
  say "wakustore " & wakustoreVersion() & " on Nim " & NimVersion
  try:
    waitFor run(paramStr(1), paramStr(2), parseInt(paramStr(3)))
    shutdownWakustore()
  except CatchableError as e:
    quit "FAILED: " & e.msg, 1
  say "stopped"
