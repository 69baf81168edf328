/** Evidence given item by item: `item=TEXT`, where the text is a link, a file with its hash, or the thing itself. */
export function itemsOf(evidence: readonly string[]): Readonly<Record<string, string>> {
  return Object.fromEntries(
    evidence.flatMap((one) => {
      const at = one.indexOf('=');
      return at > 0 ? [[one.slice(0, at).trim(), one.slice(at + 1).trim()]] : [];
    }),
  );
}
