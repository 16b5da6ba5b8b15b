//! The ways between the states of a machine, as facts that the compiler knows: a change of state names where it
//! begins and where it ends, and one that is not listed does not compile. Leaves out who changes states.

/// A state, as a type, after which the state `Next` may come.
pub(crate) trait Becomes<Next> {}

/// Makes a type of each state of a machine, and lists the ways between them.
///
/// The types convert to the machine's own enum, which is what is kept. The list is there for tests too, as `WAYS`, so that
/// the picture in the book is compared with what compiles.
macro_rules! ways {
    ($machine:ident { $($state:ident = $value:expr;)+ } $($from:ident => $($to:ident),+;)+) => {
        $(
            #[doc = concat!("`", stringify!($value), "`, as a type.")]
            #[derive(Clone, Copy, Debug)]
            pub(super) struct $state;

            impl From<$state> for $machine {
                fn from(_: $state) -> Self {
                    $value
                }
            }
        )+
        $($(impl $crate::base::Becomes<$to> for $from {})+)+

        #[cfg(test)]
        const WAYS: &[(&str, &str)] = &[$($((stringify!($from), stringify!($to)),)+)+];
    };
}

pub(crate) use ways;
