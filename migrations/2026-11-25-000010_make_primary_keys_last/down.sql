-- The keys are the same as before, only younger.
SELECT 1;
