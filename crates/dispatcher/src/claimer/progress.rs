//! What a claim says about the next one.

/// Whether to claim again at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    MayBeMore,
    NothingLeft,
}

impl Progress {
    pub(super) fn more_if(may_be_more: bool) -> Self {
        if may_be_more {
            Self::MayBeMore
        } else {
            Self::NothingLeft
        }
    }

    /// Of two claims: if either says that there may be more, there may be.
    pub(super) fn or(self, other: Self) -> Self {
        match self {
            Self::MayBeMore => self,
            Self::NothingLeft => other,
        }
    }
}
