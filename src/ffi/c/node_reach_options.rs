//! `wks_node_options`: how a node reaches others: name servers, discovery, TLS, and who it is to them.

use std::path::PathBuf;
use std::time::Duration;

use super::bytes::wks_bytes;
use super::error::wks_error;
use super::guard;
use super::memory::{borrow, borrow_str};
use super::node_options::{add, wks_node_options};
use super::status::wks_status;
use crate::error::{Error, ErrorKind, Result, bail};
use crate::node::{Identity, TlsFiles};

/// The most bytes that one root may have.
const MAX_ROOT: usize = 1024 * 1024;

fn file(path: wks_bytes, what: &str) -> Result<PathBuf> {
    let path = borrow_str(path, what)?;
    if path.is_empty() || path.contains('\0') {
        bail!(InvalidArgument, "{what} is empty or has a NUL in it");
    }
    Ok(PathBuf::from(path))
}

/// Finds peers in this tree in DNS (EIP-1459), `enrtree://KEY@DOMAIN`, and in others that were added.
///
/// Threads: any. Blocks: no. Owns: nothing; the URL is copied.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` where it is not UTF-8.
/// (What is no such URL, and more than 16, are refused when the node is started.)
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_options_add_discovery_tree(
    options: wks_node_options,
    url: wks_bytes,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        let url = borrow_str(url, "url")?.to_owned();
        add(&mut call.get(options)?.lock().discovery.trees, url, "discovery trees")?;
        Ok(())
    })
}

/// How often the discovery trees are walked through again, in milliseconds. 3,600,000 by default.
///
/// Threads: any. Blocks: no. Owns: nothing.
/// Errors: `WKS_ERR_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_options_set_discovery_interval(
    options: wks_node_options,
    ms: u64,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        call.get(options)?.lock().discovery.interval = Duration::from_millis(ms);
        Ok(())
    })
}

/// Looks names up with this name server, `192.0.2.1` or `192.0.2.1:5353`, and with others that were
/// added; without any, with the system's.
///
/// Threads: any. Blocks: no. Owns: nothing; the address is copied.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` where it is not UTF-8.
/// (What is no such address, and more than 16, are refused when the node is started.)
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_options_add_name_server(
    options: wks_node_options,
    address: wks_bytes,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        let address = borrow_str(address, "address")?.to_owned();
        add(&mut call.get(options)?.lock().name_servers, address, "name servers")?;
        Ok(())
    })
}

/// Trusts this authority, beside those of the public web, when a `/tls/ws` or `/wss` address is
/// dialled: certificates in PEM, or one in DER.
///
/// Threads: any. Blocks: no. Owns: nothing; the bytes are copied.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` for more than a MiB.
/// (What is no certificate is refused when the node is started.)
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_options_add_root(
    options: wks_node_options,
    certificates: wks_bytes,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        let root = borrow(certificates, "certificates")?.to_vec();
        if root.len() > MAX_ROOT {
            bail!(InvalidArgument, "the certificates have {} bytes", root.len());
        }
        add(&mut call.get(options)?.lock().extra_roots, root, "roots")?;
        Ok(())
    })
}

/// Listens at `/tls/ws` (or `/wss`) addresses with this certificate: two files in PEM, the
/// certificate with those between it and its authority, and its key. The paths are UTF-8.
///
/// Threads: any. Blocks: no. Owns: nothing; the paths are copied.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` where a path is empty,
/// not UTF-8 or has a NUL in it. (The files are read when the node is started.)
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_options_set_wss_files(
    options: wks_node_options,
    chain: wks_bytes,
    key: wks_bytes,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        let files = TlsFiles { chain: file(chain, "chain")?, key: file(key, "key")? };
        call.get(options)?.lock().wss = Some(files);
        Ok(())
    })
}

/// Uses this identity key: the 32 secret bytes of a secp256k1 key, as deployed nodes have them. Only
/// a node with such a key can be published in a discovery tree.
///
/// Threads: any. Blocks: no. Owns: nothing; the secret is copied.
/// Errors: `WKS_ERR_HANDLE`, `WKS_ERR_NULL_POINTER`, `WKS_ERR_INVALID_ARGUMENT` unless there are 32.
#[unsafe(no_mangle)]
pub extern "C" fn wks_node_options_set_identity_secp256k1(
    options: wks_node_options,
    secret: wks_bytes,
    error: *mut wks_error,
) -> wks_status {
    guard::run(error, |call| {
        let secret = borrow(secret, "secret")?;
        let secret = <[u8; 32]>::try_from(secret).map_err(|_| {
            let message = format!("an identity secret is 32 bytes long, this is {}", secret.len());
            Error::new(ErrorKind::InvalidArgument, message)
        })?;
        call.get(options)?.lock().identity = Identity::Secp256k1(secret);
        Ok(())
    })
}
