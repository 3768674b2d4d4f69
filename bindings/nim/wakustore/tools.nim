## What an operator does with an archive. A part of `wakustore.nim`, which includes it.

proc topicStats*(archive: Archive, kind: TopicKind, after = "", limit = 1000): Op[seq[TopicStats]] =
  ## Figures by topic, in the order of the names: those after `after`, `limit` of them, 1 to 1,000.
  starting(seq[TopicStats], wks_archive_topic_stats_async(
    archive.held, int32(ord(kind)), lend(after), csize_t(limit), op, addr err))

proc takeDownMatching*(archive: Archive, q: Query): Op[uint64] =
  ## Removes all that matches for good: what is removed is refused from then on. Gives how many.
  withQuery(q):
    result = starting(uint64, wks_archive_take_down_matching_async(
      archive.held, what, op, addr err))

proc backup*(archive: Archive, path: string, replace = false): Op[BackupReport] =
  ## Writes a whole copy to a file, while the archive goes on.
  starting(BackupReport, wks_archive_backup_async(
    archive.held, lend(path), uint8(replace), op, addr err))

template withFile(file: string, secret: openArray[byte], body: untyped): untyped =
  ## With `options`, those of an archive in this file.
  block:
    var options {.inject.}: WksArchiveOptions
    ok wks_archive_options_new(addr options, addr err)
    defer: wks_archive_options_free(options)
    ok wks_archive_options_set_path(options, lend(file), addr err)
    if secret.len > 0: ok wks_archive_options_set_key(options, lend(secret), addr err)
    body

proc restoreArchive*(backup, path: string, replace = false,
                     key: openArray[byte] = []): Op[BackupReport] =
  ## Makes an archive at `path` of a backup.
  withFile(path, key):
    result = starting(BackupReport, wks_archive_restore_async(
      lend(backup), options, uint8(replace), op, addr err))

proc verify*(archive: Archive): Op[Findings] =
  ## Computes every hash again, checks the file's structure, and lists what does not fit.
  starting(Findings, wks_archive_verify_async(archive.held, op, addr err))

proc salvageArchive*(damaged, path: string, key: openArray[byte] = []): Op[Findings] =
  ## Brings what can be read of a damaged file into a new archive at `path`.
  withFile(damaged, key):
    let source = options
    withFile(path, key):
      result = starting(Findings, wks_archive_salvage_async(source, options, op, addr err))

proc importNwaku*(archive: Archive, source: string, position: openArray[byte] = [],
                  limit = 0'u64): Op[MoveReport] =
  ## Brings over a nwaku archive, a file or a `postgres://` address: `limit` rows or a few more (0 for
  ## all), from where an earlier report says to go on.
  starting(MoveReport, wks_archive_import_nwaku_async(
    archive.held, lend(source), lend(position), limit, op, addr err))

proc exportNwaku*(archive: Archive, q: Query, target: string, position: openArray[byte] = [],
                  limit = 0'u64): Op[MoveReport] =
  ## Writes what matches to a nwaku archive, a file or a `postgres://` address.
  withQuery(q):
    result = starting(MoveReport, wks_archive_export_nwaku_async(
      archive.held, what, lend(target), lend(position), limit, op, addr err))
