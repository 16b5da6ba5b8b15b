//! Packages: where one comes from, which versions will do, what is in it, the lock file, and the choice
//! of versions. Pure: files and repositories come through ports. Leaves out fetching, and how a file of
//! a package is loaded: see `load`.

mod folder;
mod lock;
mod manifest;
mod powers;
mod resolve;
mod source;
mod version;

pub use folder::{Folder, FolderError, FolderFile};
pub use lock::{LOCK_FILE, Lock, Locked, VENDOR};
pub use powers::Power;
pub use resolve::{Candidate, Catalog, CatalogError, Pick, Resolution, Resolver, resolve};
pub use source::Source;
pub use version::{Minimum, Version};

pub(crate) use manifest::{file_path, is_package};
pub(crate) use powers::{Ask, powers_asked};
pub(crate) use resolve::{need_of, no_package};
