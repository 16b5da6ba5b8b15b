//! Error kinds: the only thing that decides an exit status. Leaves out wording.

/// What sort of failure an error is. One exit status each (DESIGN section 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// An action failed: 1.
    ActionFailed,
    /// The command line or the request is wrong: 2.
    Usage,
    /// The spec has errors: 3.
    Spec,
    /// An approval or input is needed: 4.
    Approval,
    /// A check said no: 7.
    CheckFailed,
    /// Tests did not pass a gate: 10.
    Tests,
    /// Performance did not pass a gate: 11.
    Performance,
    /// What was made did not pass a gate: 12.
    Artifact,
    /// Security did not pass a gate: 15.
    Security,
    /// A service did not start, or did not live: 14.
    Service,
    /// Making a bundle failed: 20.
    Bundle,
    /// Making a report failed: 21.
    Report,
    /// A signature or a key is missing or wrong: 22.
    Signature,
    /// An audit said no: 23.
    Audit,
    /// The engine or the machine failed: store, disk, process start: 30.
    Engine,
    /// The store was made by a newer version, or is not a store: 31.
    StoreFormat,
    /// A tool that the plan names is missing on this machine: 32.
    ToolMissing,
    /// A required isolation is not available: 33.
    Isolation,
    /// It would cost more than it may: 50.
    Budget,
    /// A defect of ours: 70.
    Internal,
    /// Stopped by a signal: 128 + n.
    Signal(u8),
}

impl ErrorKind {
    /// The process exit status.
    pub fn exit_status(self) -> u8 {
        match self {
            Self::ActionFailed => 1,
            Self::Usage => 2,
            Self::Spec => 3,
            Self::Approval => 4,
            Self::CheckFailed => 7,
            Self::Tests => 10,
            Self::Performance => 11,
            Self::Artifact => 12,
            Self::Security => 15,
            Self::Service => 14,
            Self::Bundle => 20,
            Self::Report => 21,
            Self::Signature => 22,
            Self::Audit => 23,
            Self::Engine => 30,
            Self::StoreFormat => 31,
            Self::ToolMissing => 32,
            Self::Isolation => 33,
            Self::Budget => 50,
            Self::Internal => 70,
            Self::Signal(number) => 128u8.saturating_add(number),
        }
    }
}
