/** The types of Preact and signals, as far as the page uses them: their own are in no vendored file. */

export interface Ref<T> {
  current: T;
}

export interface Signal<T> {
  value: T;
  peek(): T;
}

export function html(strings: TemplateStringsArray, ...values: unknown[]): any;
export function render(tree: unknown, place: Element): void;
export const Fragment: unknown;

export function useState<T>(initial: T | (() => T)): [T, (next: T | ((held: T) => T)) => void];
export function useRef<T>(initial: T): Ref<T>;
export function useEffect(run: () => void | (() => void), inputs?: readonly unknown[]): void;
export function useLayoutEffect(run: () => void | (() => void), inputs?: readonly unknown[]): void;
export function useMemo<T>(make: () => T, inputs: readonly unknown[]): T;
export function useCallback<T>(run: T, inputs: readonly unknown[]): T;
export function useId(): string;

export function signal<T>(initial: T): Signal<T>;
export function computed<T>(make: () => T): Signal<T>;
export function effect(run: () => void | (() => void)): () => void;
export function batch<T>(run: () => T): T;
export function untracked<T>(run: () => T): T;
export function useSignal<T>(initial: T): Signal<T>;
export function useComputed<T>(make: () => T): Signal<T>;
export function useSignalEffect(run: () => void | (() => void)): void;
