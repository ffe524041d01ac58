// Differences, in one column or with both sides beside each other.
import { useLayout } from "./layout";
import { sides, withoutHeader } from "./words";

const kind = (line: string): string =>
  /^(\+\+\+ |--- |@@|\\ )/.test(line) ? "at" : line.startsWith("+") ? "add" : line.startsWith("-") ? "del" : "";

export function Diff({ text: whole }: { text: string }) {
  const text = withoutHeader(whole);
  const { sides: beside } = useLayout();
  if (beside) {
    return (
      <div className="diff sides" tabIndex={0} role="group" aria-label="difference, side by side">
        {sides(text).map((row, index) =>
          row.whole !== undefined ? <span key={index} className="at whole">{row.whole}</span> : (
            <div key={index} className="contents">
              <span className={row.left === undefined ? "none" : row.changed ? "del" : ""}>{row.left ?? ""}</span>
              <span className={row.right === undefined ? "none" : row.changed ? "add" : ""}>{row.right ?? ""}</span>
            </div>
          ))}
      </div>
    );
  }
  return (
    <pre className="diff" tabIndex={0} role="group" aria-label="difference">
      {text.split("\n").map((line, index) => <span key={index} className={kind(line)}>{line}{"\n"}</span>)}
    </pre>
  );
}
