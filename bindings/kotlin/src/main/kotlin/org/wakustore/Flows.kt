// Flows over what UniFFI's surface has to be pulled: the pages of a history, the events of a node.
//
// A flow pulls only while it is collected, one item at a time. Cancelling the coroutine that
// collects cancels the work in the library that it waits for; nothing that was brought is lost,
// the next pull of the same object hands it out.

package org.wakustore

import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.flow

/**
 * What is left of this walk, page by page. Collecting it twice goes on where the first stopped;
 * [History.cursor] tells where that is.
 */
fun History.pages(): Flow<Page> = flow { while (true) emit(next() ?: break) }

/** All that matches, page by page; each collection is a walk of its own. */
fun Archive.pages(query: Query): Flow<Page> = flow {
    history(query).use { walk -> while (true) emit(walk.next() ?: break) }
}

/** What matches in a store peer's history, page by page; each collection is a walk of its own. */
fun Node.pages(peer: String, query: Query): Flow<Page> = flow {
    history(peer, query).use { walk -> while (true) emit(walk.next() ?: break) }
}

/** What happens from now on, until the node stops. */
fun NodeEvents.flow(): Flow<NodeEvent> = flow { while (true) emit(next() ?: break) }
