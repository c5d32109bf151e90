/* What is over the charts, and places below the screen. Streamlit sends this text whenever the selection changes, so it
 * is kept apart from plot.js, which is longer. */

const charts = (window.piipCharts ??= new Map());
const overlays = (window.piipOverlays ??= new Map());

export default function (component) {
  const { data, parentElement } = component;
  if (data.place) return watch(component);
  parentElement.closest("[data-testid=stElementContainer]")?.classList.add("piip-hidden");
  overlays.set(data.over, data);
  charts.get(data.over)?.lay();
}

/** Keep a place free until it is on the screen; tell Python then, once the charts are drawn. */
function watch({ data, parentElement, setTriggerValue }) {
  const place = document.createElement("div");
  place.className = "piip-place";
  place.style.height = `${data.place}px`;
  parentElement.append(place);
  const observer = new IntersectionObserver(
    async (entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      observer.disconnect();
      await Promise.all([...charts.values()].map((chart) => chart.chain));
      setTriggerValue("seen", true);
    },
    { rootMargin: "100px", scrollMargin: "100px" },
  );
  observer.observe(place);
  return () => {
    observer.disconnect();
    place.remove();
  };
}
