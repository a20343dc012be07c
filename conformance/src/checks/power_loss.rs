//! The power goes, and with it all that was not synced, or parts of it.

use crate::checks::faults::{faulty, steps, strike_anywhere};
use crate::disaster::{Again as _, chosen, watched};
use crate::failure::{Failure, Outcome};
use crate::ordeal::{Ordeal, Strike, Watch};
use crate::suite::Context;
use harnesses::{Fault, FaultWay, Unsynced};

/// The extremes, and some of what is between them.
fn losses(index: usize, seeds: usize) -> Vec<Unsynced> {
    let seed = |number| Unsynced::Some((index * seeds + number) as u64);
    [Unsynced::Lost, Unsynced::Kept].into_iter().chain((0..seeds).map(seed)).collect()
}

pub(crate) async fn power_may_go_at_any_step(context: &Context<'_>) -> Outcome {
    strike_anywhere(
        context,
        (true, 25),
        |_| Watch::Nothing,
        |mut ordeal, index| async move {
            ordeal.run(true).await?;
            for unsynced in losses(index, 3) {
                ordeal.after_power_loss(unsynced).await?;
            }
            Ok(())
        },
    )
}

pub(crate) async fn power_may_go_in_recovery(context: &Context<'_>) -> Outcome {
    let total = steps(context, Watch::Nothing)? * Strike::WAYS.len();
    let name = |index| Strike::number(index, true).to_string();
    for (index, name) in chosen(total, 10, name) {
        let strike = Strike::number(index, true);
        let ordeal = Ordeal::new(faulty(context)?, Some(strike), Watch::Nothing);
        watched("D2", power_goes_again(ordeal, index)).again(&name)?;
    }
    Ok(())
}

async fn power_goes_again(mut ordeal: Ordeal, index: usize) -> Outcome {
    ordeal.run(true).await?;
    for (number, first) in losses(index, 1).into_iter().enumerate() {
        let Some(lost) = ordeal.place.after_power_loss(first) else {
            return Err(Failure::around("the harness declares a loss of power and has none"));
        };
        let counted = lost.after_crash();
        let before = counted.steps();
        drop(counted.open());
        let steps = (counted.steps() - before) as usize;
        let at = (index * 11 + number * 5) % steps.max(1);
        let way = [FaultWay::Undone, FaultWay::Done][index % 2];
        lost.fail(Some(Fault { after: at as u64, way, lasting: true }));
        drop(lost.open());
        for second in losses(index, 1) {
            let Some(left) = lost.after_power_loss(second) else { continue };
            let recovered = ordeal.recovers(&*left, &ordeal.numbers_without_power()).await;
            recovered.map_err(|failure| {
                let step = at + 1;
                failure
                    .found(format_args!("{first:?}, again at step {step} of opening, {second:?}"))
            })?;
        }
    }
    Ok(())
}

pub(crate) async fn a_failed_sync_is_no_sync(context: &Context<'_>) -> Outcome {
    strike_anywhere(
        context,
        (false, 25),
        |_| Watch::Power,
        |mut ordeal, _| async move {
            ordeal.run(false).await?;
            ordeal.after_power_loss(Unsynced::Lost).await
        },
    )
}
