## Questions to several store peers, and relay. A part of `wakustore.nim`, which includes it.

template lendAll(texts: openArray[string], body: untyped): untyped =
  ## With `lent` and `count`, the library's form of a list of texts.
  block:
    var list = newSeq[WksBytes](texts.len)
    for i in 0 ..< texts.len: list[i] = lend(texts[i])
    let lent {.inject.} = if list.len == 0: nil else: addr list[0]
    let count {.inject.} = csize_t(list.len)
    body

proc historyOf*(node: Node, peers: openArray[string], q: Query, spanNs = 0'u64): History =
  ## A walk through the history of several store peers: one is asked for as long as it answers, and
  ## another goes on where it fails. With no peers named it is any connected one that speaks Store. A
  ## query for a longer time is asked in spans of `spanNs`.
  result = make(History)
  var options: WksHistoryOptions
  sized options
  options.spanNs = spanNs
  withQuery(q):
    lendAll(peers):
      ok wks_node_history_of(
        node.held, lent, count, what, addr options, addr result.held, addr err)

proc presence*(node: Node, peer: string, hashes: openArray[MessageHash]): Op[seq[MessageHash]] =
  ## Those of the hashes that a store peer holds, in the order asked for, each once.
  starting(seq[MessageHash], wks_node_presence_async(
    node.held, lend(peer), lend(hashes), op, addr err))

proc fetch*(node: Node, hashes: openArray[MessageHash], peers: openArray[string] = []): Op[Page] =
  ## The messages of these hashes, from the first of the peers that holds them (with none named, of
  ## the connected ones): each hash once, in the order asked for, without a message where nobody
  ## held it.
  lendAll(peers):
    result = starting(Page, wks_node_fetch_async(
      node.held, lent, count, lend(hashes), op, addr err))

proc crossCheck*(node: Node, peers: openArray[string], q: Query, max = 100_000): Op[CrossCheck] =
  ## Asks several store peers for the hashes of a query, and says what each of them left out. At most
  ## `max` hashes of each peer are taken.
  withQuery(q):
    lendAll(peers):
      result = starting(CrossCheck, wks_node_cross_check_async(
        node.held, lent, count, what, csize_t(max), op, addr err))

proc subscribe*(node: Node, pubsubTopic: string): Op[void] =
  ## Takes part in a pubsub topic over relay: what comes is stored and passed on.
  starting(void, wks_node_subscribe_async(node.held, lend(pubsubTopic), op, addr err))

proc unsubscribe*(node: Node, pubsubTopic: string): Op[void] =
  ## Takes no part in a pubsub topic any more.
  starting(void, wks_node_unsubscribe_async(node.held, lend(pubsubTopic), op, addr err))

proc publish*(node: Node, message: Message): Op[MessageHash] =
  ## Stores a message (unless it is ephemeral), sends it over relay, and gives its hash. Where nobody
  ## took it (`NoRelayPeers`) it stays stored, and may be published again.
  var lent = lend(message)
  starting(MessageHash, wks_node_publish_async(node.held, addr lent, op, addr err))

proc relayPeers*(node: Node, pubsubTopic: string): Op[seq[string]] =
  ## The connected peers that are subscribed to a pubsub topic over relay.
  starting(seq[string], wks_node_relay_peers_async(node.held, lend(pubsubTopic), op, addr err))
