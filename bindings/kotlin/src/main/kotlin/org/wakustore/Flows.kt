// Flows over what UniFFI's surface has to be pulled: the pages of a history, the changes of an
// archive, the events of a node.
//
// A flow pulls only while it is collected, one item at a time. Cancelling the coroutine that
// collects cancels the work in the library that it waits for; nothing that was brought is lost,
// the next pull of the same object hands it out.

package org.wakustore

import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.emitAll
import kotlinx.coroutines.flow.flow
import kotlinx.coroutines.flow.transform

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

/** What happens at the node while this is collected, until it stops. */
fun Node.eventFlow(): Flow<NodeEvent> = flow { events().use { emitAll(it.flow()) } }

/** What the archive commits from now on, until it is closed. */
fun Changes.flow(): Flow<Change> = flow { while (true) emit(next() ?: break) }

/**
 * What the archive commits while this is collected, until it is closed. Up to [capacity] messages
 * wait for the collector; what is beyond that it is told to have missed.
 */
fun Archive.changeFlow(capacity: Int = 10_000): Flow<Change> =
    flow { changes(capacity.toUInt()).use { emitAll(it.flow()) } }

/**
 * Everything after a position, then what is committed, until the archive is closed; without one, from
 * all that is held. [done] is told the position after each change, once the collector is done with
 * it: keep it to go on from.
 */
fun Archive.changeFlowFrom(
    position: ByteArray? = null,
    capacity: Int = 10_000,
    done: suspend (position: ByteArray) -> Unit = {},
): Flow<Change> = flow {
    changesFrom(position, capacity.toUInt()).use { changes ->
        while (true) {
            emit(changes.next() ?: break)
            changes.position()?.let { done(it) }
        }
    }
}

/** What is left of this walk, entry by entry. */
fun History.entries(): Flow<Entry> = pages().transform { page -> page.entries.forEach { emit(it) } }

/** All that matches, entry by entry; each collection is a walk of its own. */
fun Archive.entries(query: Query): Flow<Entry> =
    pages(query).transform { page -> page.entries.forEach { emit(it) } }

/** What matches in a store peer's history, entry by entry; each collection is a walk of its own. */
fun Node.entries(peer: String, query: Query): Flow<Entry> =
    pages(peer, query).transform { page -> page.entries.forEach { emit(it) } }
