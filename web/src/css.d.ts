// Style sheets that are imported as text (`with { type: "text" }`), to be adopted by what is loaded with them.
declare module "*.css" {
  const text: string;
  export default text;
}
