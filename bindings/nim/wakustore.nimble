version       = "0.1.0"
author        = "The wakustore authors"
description   = "Archive, Store queries and Sync of the Waku network"
license       = "MIT OR Apache-2.0"
installFiles  = @["wakustore.nim"]
installDirs   = @["wakustore"]

requires "nim >= 1.6.0"
