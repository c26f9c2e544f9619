/** tsyringe wants this function at load; without decorators nobody ever stores anything in it. */
(Reflect as { getMetadata?: unknown }).getMetadata ??= () => undefined;
