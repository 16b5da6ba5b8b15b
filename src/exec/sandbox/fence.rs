//! Landlock: which files a process may read, run and write, and that it may not signal or reach by
//! abstract sockets what is outside; and which ports it may connect to. Leaves out which these are.

use std::io::{Error, ErrorKind};
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus, NetPort, PathBeneath, PathFd,
    Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetStatus, Scope, make_bitflags,
};

/// The version of Landlock without which nothing is called confined: from the third on, files cannot be
/// cut short by their path.
pub(super) const LEAST: ABI = ABI::V3;
/// The newest version whose rights are asked for where the kernel has them.
const NEWEST: ABI = ABI::V6;

/// The version of Landlock that the kernel has; the error is why it has none. Found out by confining a thread that does
/// nothing else, as a look alone is not to be had.
pub(super) fn kernel_version() -> Result<i32, &'static str> {
    let look = || -> Result<LandlockStatus, landlock::RulesetError> {
        let rules = Ruleset::default().handle_access(AccessFs::from_all(ABI::V1))?.create()?;
        Ok(rules.restrict_self()?.landlock)
    };
    let looked = std::thread::Builder::new().name("landlock".to_owned()).spawn(look);
    match looked.ok().and_then(|thread| thread.join().ok()) {
        Some(Ok(LandlockStatus::Available { effective_abi, kernel_abi })) => {
            Ok(kernel_abi.unwrap_or(effective_abi as i32))
        }
        Some(Ok(LandlockStatus::NotEnabled)) => Err("the kernel has it, and does not use it"),
        Some(Ok(LandlockStatus::NotImplemented)) => Err("the kernel does not have it, or a filter of calls hides it"),
        _ => Err("it cannot be asked about"),
    }
}

/// The newest version that is made use of, and the oldest that is enough.
pub(super) const VERSIONS: (i32, i32) = (NEWEST as i32, LEAST as i32);

/// A set of rules while it is made.
pub(super) struct Fence(RulesetCreated);

fn other(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::other(error)
}

impl Fence {
    /// Nothing is allowed, but of the network: that is left alone unless there are ports, and then a
    /// connection to one of these is allowed, and to listen at a port that the kernel chooses.
    pub(super) fn new(ports: Option<&[u16]>) -> Result<Self, Error> {
        let mut rules = Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessFs::from_all(LEAST))
            .map_err(|error| Error::new(ErrorKind::Unsupported, error))?
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(NEWEST))
            .map_err(other)?
            .scope(Scope::from_all(NEWEST))
            .map_err(other)?;
        if ports.is_some() {
            rules = rules.handle_access(AccessNet::from_all(NEWEST)).map_err(other)?;
        }
        let mut fence = rules.create().map_err(other)?;
        if let Some(ports) = ports {
            fence = fence.add_rule(NetPort::new(0, AccessNet::BindTcp)).map_err(other)?;
            for port in ports {
                fence = fence.add_rule(NetPort::new(*port, AccessNet::ConnectTcp)).map_err(other)?;
            }
        }
        Ok(Self(fence))
    }

    /// The same rules once more.
    pub(super) fn again(&self) -> Result<Self, Error> {
        self.0.try_clone().map(Self)
    }

    /// What lies at and below a path may be read and run.
    pub(super) fn read(self, path: &Path) -> Result<Self, Error> {
        self.allow(path, AccessFs::from_read(NEWEST))
    }

    /// What lies at and below a path may be read, run, changed and made.
    pub(super) fn write(self, path: &Path) -> Result<Self, Error> {
        self.allow(path, AccessFs::from_all(NEWEST))
    }

    /// A device may be read and written.
    pub(super) fn device(self, path: &Path) -> Result<Self, Error> {
        self.allow(path, make_bitflags!(AccessFs::{ReadFile | WriteFile | IoctlDev}))
    }

    fn allow(self, path: &Path, access: BitFlags<AccessFs>) -> Result<Self, Error> {
        let fd = PathFd::new(path).map_err(other)?;
        let rights = if path.is_dir() { access } else { access & AccessFs::from_file(NEWEST) };
        Ok(Self(self.0.add_rule(PathBeneath::new(fd, rights)).map_err(other)?))
    }

    /// Applies the rules to this process and all that it starts, for good.
    pub(super) fn apply(self) -> Result<(), Error> {
        let status = self.0.restrict_self().map_err(other)?;
        if status.ruleset == RulesetStatus::NotEnforced || !status.no_new_privs {
            return Err(Error::new(ErrorKind::Unsupported, "the kernel has no Landlock"));
        }
        Ok(())
    }
}
