-- The scanners: who made the images, how many series, from when to when
SELECT Manufacturer, ManufacturerModelName, list(DISTINCT Modality ORDER BY Modality) AS modalities,
  count(DISTINCT SeriesInstanceUID) AS series, min(StudyDate) AS first, max(StudyDate) AS last
FROM series JOIN (SELECT StudyInstanceUID, StudyDate FROM studies) USING (StudyInstanceUID)
GROUP BY ALL ORDER BY series DESC, Manufacturer, ManufacturerModelName;
