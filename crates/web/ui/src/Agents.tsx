// The agents that cannot be chosen: why, and how to have them.
import { X } from "lucide-react";
import { Modal } from "./Modal";
import type { Provider } from "./generated/wire";

export const isReady = (provider: Provider): boolean => provider.enabled && provider.status === "ready";

const state = (provider: Provider): string => (!provider.enabled ? "disabled in the configuration" : provider.reason ?? provider.status.replace("_", " "));

export function Missing({ providers }: { providers: Provider[] }) {
  return (
    <dl>
      {providers.filter((it) => !isReady(it)).map((provider) => (
        <div key={provider.name}>
          <dt>{provider.label}</dt>
          <dd>{state(provider)}{provider.hint && <><br /><code>{provider.hint}</code></>}</dd>
        </div>
      ))}
    </dl>
  );
}

export function Agents({ providers, close }: { providers: Provider[]; close: () => void }) {
  return (
    <Modal label="Agents" className="ask" close={close}>
      <header className="flex items-center gap-2"><h2>Agents</h2><button className="icon ml-auto" aria-label="Close" onClick={close}><X /></button></header>
      <p>Ready: {providers.filter(isReady).map((it) => it.label).join(", ") || "none"}.</p>
      <Missing providers={providers} />
    </Modal>
  );
}
